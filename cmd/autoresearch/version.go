package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// newVersion makes "version".
func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "version of this program", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			version, revision := buildVersion()
			if a.json {
				return a.object(map[string]string{"version": version, "revision": revision, "go": runtime.Version()})
			}
			text := "autoresearch " + version
			if revision != "" {
				text += " (" + revision + ")"
			}
			a.line(text + " " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH)
			return nil
		},
	}
}

// buildVersion is what the go command recorded in the binary.
func buildVersion() (version, revision string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown", ""
	}
	dirty := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+changes"
		}
	}
	if revision != "" {
		revision += dirty
	}
	return info.Main.Version, revision
}
