// Package e2e holds the end-to-end tests: a fresh clone, an empty home, the real
// binary, the real engine, real training processes, and kill -9.
//
// Nothing here imports the project's packages beyond the nouns in experiment:
// the tests see what a user sees, the command's output, the files in the home,
// git, and Temporal's API.
package e2e
