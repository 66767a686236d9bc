package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func TestACreatedModelIsAcceptedInPoolsAndAccounts(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	database := "--database-url=" + s.database
	must := func(args ...string) string {
		t.Helper()
		out, err := call(t, append(args, database)...)
		require.NoError(t, err, "%v", args)
		return out
	}
	require.Contains(t, must("models", "create", "SPTM", "--title=Solution Provider Transfer Model"), `"id":"SPTM"`)
	require.Regexp(t, `(?m)^SPTM +Solution Provider Transfer Model +false +\S+Z +cli \S+$`, must("models", "list"))
	require.Contains(t, must("models", "list", "--json"), `"id":"ECAM","title":"End Customer Account Model","root_access":true`)
	_, err := call(t, "models", "create", "SPTM", "--title=Again", database)
	require.ErrorIs(t, err, provision.ErrConflict)
	_, err = call(t, "models", "create", "S/P", "--title=Wrong", database)
	require.ErrorContains(t, err, `"S/P" is not an id`)

	s.must("pools", "create", "--marketplace=north", "--model-threshold=SPTM=2")
	s.must("accounts", "create", "--marketplace=north", "--model=SPTM", "--name=First", "--root-email=root@acme.example",
		"111122223333", "--role-arn=arn:aws:iam::111122223333:role/quartermaster")
	require.Regexp(t, `(?m)^111122223333 +SPTM`, s.must("accounts", "list"))
}
