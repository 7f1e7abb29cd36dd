package main

import (
	"context"
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
)

// searchAttributes are registered in every namespace of the engine. The list
// that autoresearch works with is SearchAttributes in workers/cluster of the
// main module, which this module cannot import; a test there compares the two.
var searchAttributes = map[string]enumspb.IndexedValueType{
	"Campaign":     enumspb.INDEXED_VALUE_TYPE_KEYWORD,
	"Phase":        enumspb.INDEXED_VALUE_TYPE_KEYWORD,
	"ExperimentNo": enumspb.INDEXED_VALUE_TYPE_INT,
	"Verdict":      enumspb.INDEXED_VALUE_TYPE_KEYWORD,
	"ValBpb":       enumspb.INDEXED_VALUE_TYPE_DOUBLE,
	"BestValBpb":   enumspb.INDEXED_VALUE_TYPE_DOUBLE,
}

// ensureAttributes adds what a namespace lacks: a database made by an older
// release of autoresearch. New namespaces have them from their creation.
func ensureAttributes(ctx context.Context, op operatorservice.OperatorServiceClient, namespace string) error {
	have, err := op.ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return fmt.Errorf("list search attributes of namespace %s: %w", namespace, err)
	}
	missing := map[string]enumspb.IndexedValueType{}
	for name, typ := range searchAttributes {
		if _, ok := have.GetCustomAttributes()[name]; !ok {
			missing[name] = typ
		}
	}
	if len(missing) == 0 {
		return nil
	}
	_, err = op.AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: namespace, SearchAttributes: missing,
	})
	if err != nil {
		return fmt.Errorf("add search attributes to namespace %s: %w", namespace, err)
	}
	return nil
}
