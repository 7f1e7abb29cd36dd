package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
)

// dialTimeout bounds the first contact with a cluster: long enough for a slow
// link, short enough for a person who mistyped an address.
const dialTimeout = 4 * time.Second

// external is a cluster that the user's environment names.
type external struct {
	options client.Options
	source  string // where the address comes from, for messages
}

// fromEnvironment reads TEMPORAL_ADDRESS and Temporal's configuration file. It
// returns nil when neither names an address.
func fromEnvironment() (*external, error) {
	profile, err := envconfig.LoadClientConfigProfile(envconfig.LoadClientConfigProfileOptions{})
	if err != nil {
		return nil, &Error{
			Attempt: "read the Temporal configuration " + configFile(), Err: err,
			Advice: "fix the file, or check TEMPORAL_CONFIG_FILE and TEMPORAL_PROFILE",
		}
	}
	name := os.Getenv("TEMPORAL_PROFILE")
	if profile.Address == "" && name == "" {
		return nil, nil
	}
	if profile.Address == "" {
		return nil, &Error{
			Attempt: fmt.Sprintf("use profile %q of %s", name, configFile()),
			Err:     errors.New("it has no address"),
			Advice:  "add one to the profile, set TEMPORAL_ADDRESS, or unset TEMPORAL_PROFILE to use the embedded engine",
		}
	}
	options, err := profile.ToClientOptions(envconfig.ToClientOptionsRequest{})
	if err != nil {
		return nil, &Error{
			Attempt: "configure the connection to " + profile.Address, Err: err,
			Advice: "check TEMPORAL_TLS_* and the profile in " + configFile(),
		}
	}
	return &external{options: options, source: addressSource(name)}, nil
}

// connect dials the cluster and registers what it lacks.
func (x *external) connect(ctx context.Context, o Options) (*Cluster, error) {
	if x.options.Namespace == "" {
		x.options.Namespace = DefaultNamespace
	}
	x.options.Logger = o.Logger
	dialCtx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c, err := client.DialContext(dialCtx, x.options)
	if err != nil {
		return nil, &Error{
			Attempt: fmt.Sprintf("reach Temporal at %s (from %s)", x.options.HostPort, x.source), Err: err,
			Advice: "check the address, and TLS or the API key if the cluster wants them; without TEMPORAL_ADDRESS and without a profile the embedded engine is used",
		}
	}
	if err := register(ctx, c, x.options.Namespace); err != nil {
		c.Close()
		return nil, err
	}
	return &Cluster{Client: c, Address: x.options.HostPort, Namespace: x.options.Namespace}, nil
}

// addressSource names what the user would edit to change the address.
func addressSource(profile string) string {
	if os.Getenv("TEMPORAL_ADDRESS") != "" {
		return "TEMPORAL_ADDRESS"
	}
	if profile == "" {
		profile = envconfig.DefaultConfigFileProfile
	}
	return fmt.Sprintf("profile %q of %s", profile, configFile())
}

// configFile is the file that envconfig reads.
func configFile() string {
	if f := os.Getenv("TEMPORAL_CONFIG_FILE"); f != "" {
		return f
	}
	return envconfig.DefaultConfigFilePath()
}
