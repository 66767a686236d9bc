package api

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

func TestEveryKeyMayReadWhatTheRolesMayDo(t *testing.T) {
	t.Parallel()
	w := setup(t)
	narrow := w.createKeyOf("acme", provision.RoleViewer, func(k *provision.APIKey) { k.Scopes = []provision.Scope{provision.ScopeStockRead} })
	roles := read[openapi.Roles](t, w.send(narrow, http.MethodGet, "/v1/roles", ""), http.StatusOK).Items
	require.Len(t, roles, len(provision.Roles))
	for i, role := range provision.Roles {
		require.Equal(t, role, roles[i].Role)
		require.Equal(t, role.Scopes(), roles[i].Scopes)
		require.Regexp(t, `^[A-Z].*\.$`, roles[i].Description)
	}
	readProblem(t, w.send("", http.MethodGet, "/v1/roles", ""), http.StatusUnauthorized, codeUnauthorized)
}
