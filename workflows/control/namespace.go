package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"

	"quartermaster/workflows"
)

// Check returns nil when the namespace exists and knows the search attributes of the workflows. It creates attributes that are
// missing. It never creates the namespace, because its retention is the operator's choice and a mistyped name would split the
// orders.
func (t *Temporal) Check(ctx context.Context) error {
	err := t.query(ctx)
	if lacksAttribute(err) {
		if err = t.addAttributes(ctx); err == nil {
			err = t.query(ctx)
		}
	}
	if _, none := errors.AsType[*serviceerror.NamespaceNotFound](err); none {
		return &unusableError{reason: fmt.Sprintf("Temporal has no namespace %q: create it with "+
			"`temporal operator namespace create --namespace %s --retention 720h`, or correct TEMPORAL_NAMESPACE",
			t.namespace, t.namespace)}
	}
	if lacksAttribute(err) {
		return &unusableError{cause: err, reason: fmt.Sprintf(
			"Temporal does not show the search attributes of namespace %q yet: this takes some seconds", t.namespace)}
	}
	return err
}

// query asks visibility for a workflow by every attribute. Temporal refuses the query unless it knows all of them. It looks their names up
// in the same cache as those of a new workflow.
func (t *Temporal) query(ctx context.Context) error {
	var terms []string
	for _, name := range attributeNames() {
		terms = append(terms, name+" = 'none'")
	}
	_, err := t.client.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Namespace: t.namespace,
		Query: strings.Join(terms, " AND ")})
	return err
}

// lacksAttribute reports whether Temporal refused the query. Nothing but its attributes can be refused.
func lacksAttribute(err error) bool {
	_, refused := errors.AsType[*serviceerror.InvalidArgument](err)
	return refused
}

// addAttributes creates the attributes that the namespace lacks. Several processes may do so at once: Temporal ignores those that exist.
func (t *Temporal) addAttributes(ctx context.Context) error {
	operator := t.client.OperatorService()
	known, err := operator.ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: t.namespace})
	if err != nil {
		return t.cannotAdd(attributeNames(), err)
	}
	missing := map[string]enumspb.IndexedValueType{}
	for name, wanted := range workflows.SearchAttributes() {
		kind, there := known.CustomAttributes[name]
		switch {
		case !there:
			if missing[name], err = enumspb.IndexedValueTypeFromString(wanted); err != nil {
				return err
			}
		case kind.String() != wanted:
			return &unusableError{reason: fmt.Sprintf("search attribute %q of namespace %q is of type %s and must be of type %s: "+
				"remove it with `temporal operator search-attribute remove --namespace %s --name %s`, or use another namespace",
				name, t.namespace, kind, wanted, t.namespace, name)}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if _, err := operator.AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: t.namespace,
		SearchAttributes: missing}); err != nil {
		return t.cannotAdd(slices.Sorted(maps.Keys(missing)), err)
	}
	return nil
}

// cannotAdd returns an error that says how an operator creates the attributes.
func (t *Temporal) cannotAdd(names []string, err error) error {
	var commands []string
	for _, name := range names {
		commands = append(commands, fmt.Sprintf("temporal operator search-attribute create --namespace %s --name %s --type %s", t.namespace,
			name, workflows.SearchAttributes()[name]))
	}
	return &unusableError{cause: err, reason: fmt.Sprintf(
		"namespace %q lacks search attributes that this process could not create: run %#q",
		t.namespace, strings.Join(commands, " && "))}
}

func attributeNames() []string { return slices.Sorted(maps.Keys(workflows.SearchAttributes())) }
