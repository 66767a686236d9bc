package console

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func TestAnOrderInEachState(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleOperator)
	for _, state := range []provision.OrderState{
		provision.Completed, provision.ActionRequired, provision.Compensating, provision.Failed, provision.Cancelled, provision.WaitingForAccount,
		provision.Accepted,
	} {
		id := "MP-" + string(state)
		w.Seed.Order(t, id, state)
		shown := b.page("/console/acme/orders/" + id)
		require.Equal(t, id+", "+orderStatus(state).Word+" · Quartermaster", shown.Find("title").Text())
		require.Equal(t, orderStatus(state).Word, shown.Find("#state .st").Text())
	}
	require.Equal(t, http.StatusNotFound, b.get("/console/acme/orders/none").status)
}
