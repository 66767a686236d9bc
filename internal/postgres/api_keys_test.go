package postgres_test

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

func apiKey(id string, role provision.Role, change ...func(*provision.APIKey)) provision.APIKey {
	key := provision.APIKey{ID: id, Provider: "acme", Name: "key " + id, SecretSHA256: bytes.Repeat([]byte{7}, 32), Role: role}
	for _, c := range change {
		c(&key)
	}
	return key
}

func createKey(t *testing.T, store *postgres.DB, key provision.APIKey) provision.APIKey {
	t.Helper()
	added, err := store.APIKeys.Create(t.Context(), "test", key)
	require.NoError(t, err)
	return added
}

// constraint is the name of the one that refused.
func constraint(t *testing.T, err error) string {
	t.Helper()
	require.Error(t, err)
	refusal := pq.As(err)
	require.NotNil(t, refusal, "%v", err)
	return refusal.Constraint
}

func TestAKeyIsKeptAsItIsMade(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	end, limit := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond), 2.5
	added := createKey(t, store, apiKey("narrow", provision.RoleViewer, func(k *provision.APIKey) {
		k.Scopes, k.ExpiresAt, k.RateLimit = []provision.Scope{provision.ScopeOrdersRead}, &end, &limit
	}))
	require.Equal(t, "test", added.CreatedBy)
	require.WithinDuration(t, time.Now(), added.CreatedAt, time.Minute)
	require.True(t, end.Equal(*added.ExpiresAt))
	require.InDelta(t, limit, *added.RateLimit, 0)
	require.Equal(t, []provision.Scope{provision.ScopeOrdersRead}, added.Grant().Rights())

	found, err := store.APIKeys.Find(ctx, "narrow", "unknown", "narrow")
	require.NoError(t, err)
	require.Equal(t, []provision.APIKey{added}, found)
	read, err := store.APIKeys.Get(ctx, "acme", "narrow")
	require.NoError(t, err)
	require.Equal(t, added, read)
	_, err = store.APIKeys.Get(ctx, "other", "narrow")
	require.ErrorIs(t, err, provision.ErrNotFound)
	_, err = store.APIKeys.Create(ctx, "test", apiKey("x", provision.RoleAdmin, func(k *provision.APIKey) { k.Provider = "unknown" }))
	require.ErrorIs(t, err, provision.ErrNotFound)
}

func TestKeysAreListedNewestFirst(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	for i := range 5 {
		createKey(t, store, apiKey(fmt.Sprintf("k%d", i), provision.RoleViewer))
	}
	createKey(t, store, apiKey("theirs", provision.RoleViewer, func(k *provision.APIKey) { k.Provider = "other" }))
	var ids []string
	var after *provision.KeyCursor
	for {
		keys, err := store.APIKeys.List(ctx, "acme", 2, after)
		require.NoError(t, err)
		if len(keys) == 0 {
			break
		}
		for _, k := range keys {
			ids = append(ids, k.ID)
		}
		last := keys[len(keys)-1]
		after = &provision.KeyCursor{CreatedAt: last.CreatedAt, ID: last.ID}
	}
	require.Equal(t, []string{"k4", "k3", "k2", "k1", "k0"}, ids)
}

func TestTheUseOfAKeyIsWrittenOnceAMinute(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createKey(t, store, apiKey("k", provision.RoleViewer))
	used := func() (at time.Time, version string) {
		require.NoError(t, store.APIKeys.NoteUse(ctx, "k"))
		row := db.QueryRowxContext(ctx, `SELECT last_used_at, xmin::text FROM api_keys WHERE id = 'k'`)
		require.NoError(t, row.Scan(&at, &version))
		return at, version
	}
	first, version := used()
	for range 3 {
		_, again := used()
		require.Equal(t, version, again, "the row is not written again")
	}
	_, err := db.ExecContext(ctx, `UPDATE api_keys SET last_used_at = last_used_at - interval '1 minute'`)
	require.NoError(t, err)
	later, _ := used()
	require.False(t, later.Before(first))
}

func TestARotatedKeyStaysValidForAWhileNextToItsSuccessor(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createKey(t, store, apiKey("old", provision.RoleOperator))
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	added, old, err := store.APIKeys.Rotate(ctx, "key admin", "acme", "old", apiKey("new", provision.RoleOperator), until)
	require.NoError(t, err)
	require.Equal(t, "new", added.ID)
	require.Equal(t, "key admin", added.CreatedBy)
	require.Equal(t, "new", old.ReplacedBy)
	require.True(t, until.Equal(*old.ExpiresAt))

	refused := func(id, why string) {
		t.Helper()
		_, _, err := store.APIKeys.Rotate(ctx, "key admin", "acme", id, apiKey("third-of-"+id, provision.RoleOperator), until)
		var state *provision.StateError
		require.ErrorAs(t, err, &state)
		require.Contains(t, state.Reason, why)
		left, err := store.APIKeys.Find(ctx, "third-of-"+id)
		require.NoError(t, err)
		require.Empty(t, left, "nothing is left of what was refused")
	}
	refused("old", "was rotated already; its successor is new")
	soon := time.Now().Add(time.Minute).UTC().Truncate(time.Microsecond)
	createKey(t, store, apiKey("short", provision.RoleViewer, func(k *provision.APIKey) { k.ExpiresAt = &soon }))
	_, short, err := store.APIKeys.Rotate(ctx, "key admin", "acme", "short", apiKey("longer", provision.RoleViewer), until)
	require.NoError(t, err)
	require.True(t, soon.Equal(*short.ExpiresAt), "an overlap lengthens no life")
	past := time.Now().Add(-time.Minute)
	createKey(t, store, apiKey("expired", provision.RoleViewer, func(k *provision.APIKey) { k.ExpiresAt = &past }))
	refused("expired", "has expired")
	_, err = store.APIKeys.Revoke(ctx, "key admin", "acme", "new", "", true)
	require.NoError(t, err)
	refused("new", "is revoked")
	_, _, err = store.APIKeys.Rotate(ctx, "key admin", "other", "longer", apiKey("fourth", provision.RoleViewer), until)
	require.ErrorIs(t, err, provision.ErrNotFound)
}

func TestOneOfManyRotationsAtOnceSucceeds(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createKey(t, store, apiKey("old", provision.RoleOperator))
	var succeeded atomic.Int32
	var race errgroup.Group
	for i := range 8 {
		race.Go(func() error {
			if _, _, err := store.APIKeys.Rotate(ctx, "a", "acme", "old", apiKey(fmt.Sprintf("new-%d", i), provision.RoleOperator),
				time.Now().Add(time.Hour)); err == nil {
				succeeded.Add(1)
			}
			return nil
		})
	}
	require.NoError(t, race.Wait())
	require.EqualValues(t, 1, succeeded.Load())
	keys, err := store.APIKeys.List(ctx, "acme", 20, nil)
	require.NoError(t, err)
	require.Len(t, keys, 2)
}

func TestTheLastKeyThatMakesKeysIsNotRevoked(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	past := time.Now().Add(-time.Minute)
	createKey(t, store, apiKey("a", provision.RoleAdmin))
	createKey(t, store, apiKey("operator", provision.RoleOperator))
	createKey(t, store, apiKey("narrow", provision.RoleAdmin,
		func(k *provision.APIKey) { k.Scopes = []provision.Scope{provision.ScopeKeysRead} }))
	createKey(t, store, apiKey("expired", provision.RoleAdmin, func(k *provision.APIKey) { k.ExpiresAt = &past }))
	createKey(t, store, apiKey("theirs", provision.RoleAdmin, func(k *provision.APIKey) { k.Provider = "other" }))
	refused := func(id string) {
		t.Helper()
		_, err := store.APIKeys.Revoke(ctx, "key "+id, "acme", id, "", true)
		var state *provision.StateError
		require.ErrorAs(t, err, &state)
		require.Contains(t, state.Reason, "last live key that may create keys: create another key of role admin first")
	}
	refused("a")
	_, _, err := store.APIKeys.Rotate(ctx, "key a", "acme", "a", apiKey("b", provision.RoleAdmin), time.Now().Add(time.Hour))
	require.NoError(t, err)
	refused("b") // a ends soon
	_, err = store.APIKeys.Revoke(ctx, "key b", "acme", "a", "", true)
	require.NoError(t, err)
	refused("b")
	_, err = store.APIKeys.Revoke(ctx, "key b", "acme", "operator", "", true)
	require.NoError(t, err)
	_, err = store.APIKeys.Revoke(ctx, "key b", "acme", "theirs", "", true)
	require.ErrorIs(t, err, provision.ErrNotFound)
	key, err := store.APIKeys.Revoke(ctx, "cli root", "acme", "b", "", false)
	require.NoError(t, err, "an operator with access to the database can create another key")
	again, err := store.APIKeys.Revoke(ctx, "cli root", "acme", "b", "", true)
	require.NoError(t, err)
	require.Equal(t, key.RevokedAt, again.RevokedAt)
}

func TestTheLastTwoKeysDoNotRevokeEachOtherAtOnce(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	for round := range 5 {
		ids := []string{fmt.Sprintf("a%d", round), fmt.Sprintf("b%d", round)}
		for _, id := range ids {
			createKey(t, store, apiKey(id, provision.RoleAdmin))
		}
		var race errgroup.Group
		var refused atomic.Int32
		for _, id := range ids {
			race.Go(func() error {
				if _, err := store.APIKeys.Revoke(ctx, "key "+id, "acme", id, "", true); err != nil {
					refused.Add(1)
				}
				return nil
			})
		}
		require.NoError(t, race.Wait())
		require.EqualValues(t, 1, refused.Load(), "one of the two stays")
		for _, id := range ids {
			_, err := store.APIKeys.Revoke(ctx, "cli", "acme", id, "", false)
			require.NoError(t, err)
		}
	}
}

func TestTheLifeOfAKeyIsInTheHistory(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createKey(t, store, apiKey("a", provision.RoleViewer,
		func(k *provision.APIKey) { k.Scopes = []provision.Scope{provision.ScopeOrdersRead} }))
	until := time.Date(2099, 11, 22, 10, 0, 0, 0, time.UTC)
	_, _, err := store.APIKeys.Rotate(ctx, "key admin", "acme", "a", apiKey("b", provision.RoleViewer), until)
	require.NoError(t, err)
	for range 2 {
		_, err = store.APIKeys.Revoke(ctx, "cli root", "acme", "b", "", true)
		require.NoError(t, err)
	}
	require.NoError(t, store.APIKeys.NoteUse(ctx, "a"))
	var events []string
	require.NoError(t, db.SelectContext(ctx, &events,
		`SELECT provider || ': ' || actor || ' ' || what || ' ' || key_id || ' ' || detail FROM access_history ORDER BY seq`))
	require.Equal(t, []string{
		"acme: test created a role viewer, only orders:read",
		"acme: key admin created b role viewer",
		"acme: key admin rotated a replaced by b, lives until 2099-11-22T10:00:00Z",
		"acme: cli root revoked b ",
	}, events)
	for _, change := range []string{`UPDATE access_history SET actor = 'me'`, `DELETE FROM access_history`} {
		_, err := db.ExecContext(ctx, change)
		require.Equal(t, "history_is_append_only", constraint(t, err))
	}
}

// The schema also refuses what the program never does, so a mistake by hand changes nothing.
func TestTheSchemaKeepsKeysHonest(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createKey(t, store, apiKey("a", provision.RoleViewer,
		func(k *provision.APIKey) { k.Scopes = []provision.Scope{provision.ScopeOrdersRead} }))
	createKey(t, store, apiKey("b", provision.RoleViewer))
	_, _, err := store.APIKeys.Rotate(ctx, "test", "acme", "a", apiKey("c", provision.RoleViewer), time.Now().Add(time.Hour))
	require.NoError(t, err)
	_, err = store.APIKeys.Revoke(ctx, "test", "acme", "b", "", false)
	require.NoError(t, err)
	for change, name := range map[string]string{
		`UPDATE api_keys SET role = 'admin' WHERE id = 'a'`:                                  "api_keys_identity_is_fixed",
		`UPDATE api_keys SET scopes = NULL WHERE id = 'a'`:                                   "api_keys_identity_is_fixed",
		`UPDATE api_keys SET provider = 'other' WHERE id = 'a'`:                              "api_keys_identity_is_fixed",
		`UPDATE api_keys SET secret_sha256 = decode(repeat('00', 32), 'hex') WHERE id = 'a'`: "api_keys_identity_is_fixed",
		`UPDATE api_keys SET requests_per_second = 9 WHERE id = 'a'`:                         "api_keys_identity_is_fixed",
		`UPDATE api_keys SET expires_at = NULL WHERE id = 'a'`:                               "api_keys_end_is_final",
		`UPDATE api_keys SET expires_at = expires_at + interval '1 second' WHERE id = 'a'`:   "api_keys_end_is_final",
		`UPDATE api_keys SET revoked_at = NULL WHERE id = 'b'`:                               "api_keys_end_is_final",
		`UPDATE api_keys SET replaced_by = NULL WHERE id = 'a'`:                              "api_keys_end_is_final",
		`UPDATE api_keys SET replaced_by = 'b' WHERE id = 'a'`:                               "api_keys_end_is_final",
		`DELETE FROM api_keys WHERE id = 'b'`:                                                "api_keys_never_deleted",
		`UPDATE api_keys SET revoked_at = now() WHERE id = 'c'`:                              "history_names_the_actor",
		`INSERT INTO api_keys (id, provider, name, secret_sha256, role)
		SELECT 'x', provider, name, secret_sha256, role FROM api_keys WHERE id = 'a'`: "history_names_the_actor",
		`UPDATE api_keys SET replaced_by = 'b' WHERE id = 'c'`:                     "api_keys_replaced_ends",
		`UPDATE api_keys SET replaced_by = 'c', expires_at = now() WHERE id = 'c'`: "api_keys_do_not_replace_themselves",
	} {
		tx, err := db.BeginTxx(ctx, nil)
		require.NoError(t, err)
		if name != "history_names_the_actor" {
			_, err = tx.ExecContext(ctx, `SELECT set_config('qm.actor', 'psql', true)`)
			require.NoError(t, err)
		}
		_, err = tx.ExecContext(ctx, change)
		require.Equal(t, name, constraint(t, err), change)
		require.NoError(t, tx.Rollback())
	}
	for name, key := range map[string]provision.APIKey{
		"api_keys_role_known": apiKey("x", "root"),
		"api_keys_scopes_are_words": apiKey("x", provision.RoleViewer,
			func(k *provision.APIKey) { k.Scopes = []provision.Scope{"everything"} }),
		"api_keys_requests_per_second_in_range": apiKey("x", provision.RoleViewer,
			func(k *provision.APIKey) { k.RateLimit = new(float64) }),
		"api_keys_sha256_has_32_bytes": apiKey("x", provision.RoleViewer,
			func(k *provision.APIKey) { k.SecretSHA256 = []byte{1} }),
	} {
		_, err := store.APIKeys.Create(ctx, "test", key)
		require.Equal(t, name, constraint(t, err))
	}
}
