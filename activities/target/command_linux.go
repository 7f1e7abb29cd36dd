package target

import "github.com/autoresearch-go/autoresearch/activities/sandbox"

// systemPaths is what a program of the machine needs to run.
func systemPaths() []string { return sandbox.SystemPaths() }
