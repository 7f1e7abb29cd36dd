package cluster

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
)

func TestAddressThatNobodyAnswers(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	require.NoError(t, err)
	defer silent.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed.Close()
	for _, address := range []string{silent.Addr().String(), closed.Addr().String(), "no such host:7233"} {
		t.Setenv("TEMPORAL_ADDRESS", address)
		begin := time.Now()
		_, err := Connect(context.Background(), Options{Home: t.TempDir(), Start: true})
		require.Less(t, time.Since(begin), 6*time.Second)
		require.ErrorContains(t, err, "reach Temporal at "+address+" (from TEMPORAL_ADDRESS)")
		requireHint(t, err, "check the address")
	}
}

func TestBrokenConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "temporal.toml")
	require.NoError(t, os.WriteFile(file, []byte("[profile.default\n"), 0o644))
	t.Setenv("TEMPORAL_CONFIG_FILE", file)
	_, err := Connect(context.Background(), Options{Home: t.TempDir(), Start: true})
	require.ErrorContains(t, err, file)

	require.NoError(t, os.WriteFile(file, []byte("[profile.lab]\nnamespace = \"x\"\n"), 0o644))
	t.Setenv("TEMPORAL_PROFILE", "lab")
	_, err = Connect(context.Background(), Options{Home: t.TempDir(), Start: true})
	require.ErrorContains(t, err, `profile "lab"`)
	require.ErrorContains(t, err, "it has no address")
}

// Another home's engine plays the cluster: it knows only its own namespace.
func TestClusterGetsWhatItLacks(t *testing.T) {
	engine := connect(t, newHome(t))
	file := filepath.Join(t.TempDir(), "temporal.toml")
	require.NoError(t, os.WriteFile(file, []byte("[profile.default]\naddress = \""+engine.Address+"\"\nnamespace = \"lab\"\n"), 0o644))
	t.Setenv("TEMPORAL_CONFIG_FILE", file)
	for range 2 { // the second time there is nothing to do
		c, err := Connect(testContext(t), Options{})
		require.NoError(t, err)
		require.False(t, c.Embedded)
		require.Equal(t, "lab", c.Namespace)
		require.Equal(t, engine.Address, c.Address)
		have, err := listAttributes(testContext(t), c.Client, "lab")
		require.NoError(t, err)
		for name, typ := range SearchAttributes {
			require.Equal(t, typ, have[name], name)
		}
		require.NoError(t, c.StopEngine(testContext(t)), "not ours to stop")
		c.Close()
	}
	_, err := engine.Client.CheckHealth(testContext(t), nil)
	require.NoError(t, err)
}

func TestClusterWithAnAttributeOfAnotherType(t *testing.T) {
	engine := connect(t, newHome(t))
	_, err := ensureNamespace(testContext(t), engine.Client, "odd")
	require.NoError(t, err)
	_, err = engine.Client.OperatorService().AddSearchAttributes(testContext(t), &operatorservice.AddSearchAttributesRequest{
		Namespace: "odd", SearchAttributes: map[string]enumspb.IndexedValueType{"ValBpb": enumspb.INDEXED_VALUE_TYPE_KEYWORD},
	})
	require.NoError(t, err)
	t.Setenv("TEMPORAL_ADDRESS", engine.Address)
	t.Setenv("TEMPORAL_NAMESPACE", "odd")
	_, err = Connect(testContext(t), Options{})
	require.ErrorContains(t, err, "search attribute ValBpb of namespace odd")
	require.ErrorContains(t, err, "its type is Keyword and autoresearch needs Double")
}

func TestCreateCommand(t *testing.T) {
	require.Equal(t, "temporal operator search-attribute create --namespace lab"+
		" --name BestValBpb --type Double --name Campaign --type Keyword --name ExperimentNo --type Int"+
		" --name Phase --type Keyword --name ValBpb --type Double --name Verdict --type Keyword",
		createCommand("lab", SearchAttributes))
}
