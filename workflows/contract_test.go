package workflows_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

func TestTheIDOfAWorkflowNamesItsOrder(t *testing.T) {
	t.Parallel()
	order := provision.OrderKey{Provider: "acme", ID: "a:b.c"}
	got, ok := workflows.OrderKeyOf(workflows.OrderWorkflowID(order))
	require.True(t, ok)
	require.Equal(t, order, got)
	for _, other := range []string{"reconcile", "order/", "order/acme", "webhook/acme/o-1"} {
		_, ok := workflows.OrderKeyOf(other)
		require.False(t, ok, other)
	}
}
