package console

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func TestALinkSignsInOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	key := strings.Split(w.Key(t, "acme", provision.RoleOperator), "_")[2]
	link, err := NewLink(t.Context(), w.DB.Sessions, "", provision.Session{
		KeyID: key, Grants: []provision.Grant{{Provider: "acme", Role: provision.RoleOperator}},
	}, time.Minute)
	require.NoError(t, err)
	b := w.visitor(t)
	shown := b.page(link)
	require.Contains(t, shown.text, "key "+key)
	b.page(link) // looking at it does not use it up
	ticket, _ := shown.Find("input[name=ticket]").Attr("value")
	require.Equal(t, "/console/", b.post("/console/-/enter", "ticket", ticket).location)
	b.page("/console/acme/orders")
	require.Equal(t, http.StatusNotFound, w.visitor(t).get(link).status)
	require.Equal(t, http.StatusNotFound, w.visitor(t).post("/console/-/enter", "ticket", ticket).status)
	require.NotContains(t, w.Log.String(), ticket)
}
