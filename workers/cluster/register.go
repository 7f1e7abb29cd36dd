package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"
)

// SearchAttributes are the custom search attributes that the workflows set.
var SearchAttributes = map[string]enumspb.IndexedValueType{
	"Campaign":     enumspb.INDEXED_VALUE_TYPE_KEYWORD,
	"Phase":        enumspb.INDEXED_VALUE_TYPE_KEYWORD,
	"ExperimentNo": enumspb.INDEXED_VALUE_TYPE_INT,
	"Verdict":      enumspb.INDEXED_VALUE_TYPE_KEYWORD,
	"ValBpb":       enumspb.INDEXED_VALUE_TYPE_DOUBLE,
	"BestValBpb":   enumspb.INDEXED_VALUE_TYPE_DOUBLE,
}

const (
	// retention of a namespace that is registered here: closed experiments stay
	// visible in the UI for three months.
	retention = 90 * 24 * time.Hour
	// registerTimeout bounds registering and the wait until all frontends know:
	// they refresh their caches every 2 to 10 seconds.
	registerTimeout = 30 * time.Second
)

// register makes sure that the namespace exists and has our search attributes.
// A cluster that has everything is only read.
func register(ctx context.Context, c client.Client, namespace string) error {
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	created, err := ensureNamespace(ctx, c, namespace)
	if err != nil {
		return err
	}
	added, err := ensureAttributes(ctx, c, namespace)
	if err != nil {
		return err
	}
	if !created && !added {
		return nil
	}
	// A query by an attribute is refused until the frontend knows it.
	return poll(ctx, "search attributes of namespace "+namespace, func() error {
		_, err := c.WorkflowService().CountWorkflowExecutions(ctx, &workflowservice.CountWorkflowExecutionsRequest{
			Namespace: namespace, Query: "ExperimentNo > 0 AND Campaign = 'none'",
		})
		return err
	})
}

// ensureNamespace registers the namespace if the cluster lacks it.
func ensureNamespace(ctx context.Context, c client.Client, namespace string) (created bool, err error) {
	svc := c.WorkflowService()
	_, err = svc.DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: namespace})
	var missing *serviceerror.NamespaceNotFound
	switch {
	case err == nil:
		return false, nil
	case !errors.As(err, &missing):
		return false, &Error{Attempt: "look up namespace " + namespace, Err: err, Advice: "check TEMPORAL_NAMESPACE and the permissions of the API key or certificate"}
	}
	_, err = svc.RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{
		Namespace: namespace, WorkflowExecutionRetentionPeriod: durationpb.New(retention),
		Description: "autoresearch",
	})
	var exists *serviceerror.NamespaceAlreadyExists // another worker was faster
	if err != nil && !errors.As(err, &exists) {
		return false, &Error{
			Attempt: fmt.Sprintf("register namespace %s, which the cluster lacks", namespace), Err: err,
			Advice: fmt.Sprintf("have it created: temporal operator namespace create --namespace %s --retention %dh", namespace, int(retention.Hours())),
		}
	}
	err = poll(ctx, "namespace "+namespace, func() error {
		_, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
		return err
	})
	return true, err
}

// ensureAttributes adds the search attributes that the namespace lacks.
func ensureAttributes(ctx context.Context, c client.Client, namespace string) (added bool, err error) {
	have, err := listAttributes(ctx, c, namespace)
	if err != nil {
		return false, &Error{Attempt: "list the search attributes of namespace " + namespace, Err: err, Advice: createCommand(namespace, SearchAttributes)}
	}
	missing := map[string]enumspb.IndexedValueType{}
	for name, want := range SearchAttributes {
		got, ok := have[name]
		if ok && got != want {
			return false, &Error{
				Attempt: fmt.Sprintf("use search attribute %s of namespace %s", name, namespace),
				Err:     fmt.Errorf("its type is %s and autoresearch needs %s", got, want),
				Advice:  "use another namespace: TEMPORAL_NAMESPACE=autoresearch",
			}
		}
		if !ok {
			missing[name] = want
		}
	}
	if len(missing) == 0 {
		return false, nil
	}
	if err := addAttributes(ctx, c, namespace, missing); err != nil {
		return false, &Error{
			Attempt: fmt.Sprintf("add search attributes %s to namespace %s", strings.Join(sortedNames(missing), ", "), namespace), Err: err,
			Advice: "have them created: " + createCommand(namespace, missing),
		}
	}
	return true, nil
}

// addAttributes adds search attributes. A namespace that another worker has
// registered this moment may not be known yet to the host that is asked.
func addAttributes(ctx context.Context, c client.Client, namespace string, missing map[string]enumspb.IndexedValueType) error {
	for {
		_, err := c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: namespace, SearchAttributes: missing})
		var exists *serviceerror.AlreadyExists // another worker was faster
		var unknown *serviceerror.NamespaceNotFound
		if err == nil || errors.As(err, &exists) {
			return nil
		}
		if !errors.As(err, &unknown) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// listAttributes asks the operator API, and where that is closed to us (as it
// may be on a managed cluster) the API that everybody may call.
func listAttributes(ctx context.Context, c client.Client, namespace string) (map[string]enumspb.IndexedValueType, error) {
	have, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err == nil {
		return have.GetCustomAttributes(), nil
	}
	all, err2 := c.GetSearchAttributes(ctx)
	if err2 != nil {
		return nil, err
	}
	return all.GetKeys(), nil
}

// createCommand is what an administrator would type.
func createCommand(namespace string, attributes map[string]enumspb.IndexedValueType) string {
	cmd := "temporal operator search-attribute create --namespace " + namespace
	for _, name := range sortedNames(attributes) {
		cmd += fmt.Sprintf(" --name %s --type %s", name, attributes[name])
	}
	return cmd
}

func sortedNames(m map[string]enumspb.IndexedValueType) []string {
	return slices.Sorted(maps.Keys(m))
}

// poll calls f until it succeeds or ctx ends; the error names what was waited
// for and why the last try failed.
func poll(ctx context.Context, what string, f func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w (last try: %w)", what, ctx.Err(), err)
		case <-tick.C:
		}
	}
}
