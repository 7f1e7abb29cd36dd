package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// State is the content of the state file. The launcher (workers/cluster in the
// main module) reads it to adopt a live engine, to stop it, and to give the
// next one the same ports. It stays when the engine stops: whether it is
// current is told by the lock and by Started.
type State struct {
	PID        int      `json:"pid"`
	Started    string   `json:"started"` // identifies the process beyond its pid; empty where the system tells nothing
	Address    string   `json:"address"` // frontend, host:port
	UIURL      string   `json:"ui_url"`
	Namespaces []string `json:"namespaces"`
	Version    string   `json:"version"` // Temporal server version
	Ready      bool     `json:"ready"`   // false while starting
}

// write replaces the state file in one step, so that a reader sees the old
// content or the new one.
func (s State) write(path string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the state: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".state-*")
	if err != nil {
		return fmt.Errorf("write the state file: %w", err)
	}
	defer os.Remove(tmp.Name()) // no effect once renamed
	_, err = tmp.Write(append(b, '\n'))
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write the state file %s: %w", path, err)
	}
	return nil
}
