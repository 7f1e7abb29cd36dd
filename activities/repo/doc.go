// Package repo keeps every candidate as a commit in the home's bare repository
// and talks to the user's checkout. It drives the git binary.
package repo
