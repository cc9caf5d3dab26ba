// SPDX-License-Identifier: MIT
/* A program without a dynamic loader: it runs, and nothing can be preloaded into it. */
int main(void)
{
	return 5;
}
