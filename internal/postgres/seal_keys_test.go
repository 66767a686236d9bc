package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
)

func TestWhatNeedsAKeyIsCounted(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	use := func(used map[string]time.Duration) {
		t.Helper()
		_, err := store.Processes.Announce(ctx, process(provision.ProcessAPI, "a", "k2:2", "k1:1"), used)
		require.NoError(t, err)
	}
	keys := func() map[string]provision.SealKeyUse {
		t.Helper()
		found, err := store.SealKeys.List(ctx)
		require.NoError(t, err)
		byID := map[string]provision.SealKeyUse{}
		for _, k := range found {
			byID[k.ID] = k
		}
		return byID
	}
	require.Empty(t, keys())
	use(map[string]time.Duration{"k1": time.Hour, "k2": 0})
	use(map[string]time.Duration{"k1": 2 * time.Hour})
	require.WithinDuration(t, time.Now().Add(-time.Hour), *keys()["k1"].LastUsedAt, time.Minute, "the last use counts")
	use(map[string]time.Duration{"k1": 30 * time.Minute})
	require.WithinDuration(t, time.Now().Add(-30*time.Minute), *keys()["k1"].LastUsedAt, time.Minute)

	// An order from before, one from after, and one from before that has ended.
	createAccounts(t, store, provision.ModelSPAM, 1, 3)
	before, after, ended := open(t, store, "before", ""), open(t, store, "after", ""), open(t, store, "ended", "")
	for _, key := range []provision.OrderKey{before, after, ended} {
		require.NotNil(t, claim(t, store, key).Account)
	}
	_, err := db.ExecContext(ctx, `UPDATE orders SET created_at = now() - interval '1 hour' WHERE id IN ('before', 'ended')`)
	require.NoError(t, err)
	_, err = store.Passwords.Keep(ctx, before, "000000000001", []byte("k1\x00sealed"))
	require.NoError(t, err)
	_, err = store.Passwords.Keep(ctx, after, "000000000002", []byte("k2\x00sealed"))
	require.NoError(t, err)
	_, err = store.Passwords.Keep(ctx, ended, "000000000003", []byte("k1\x00sealed"))
	require.NoError(t, err)
	require.NoError(t, store.Orders.Allocate(ctx, ended, "000000000003",
		provision.Result{AccountID: "000000000003", CompletedAt: time.Now()}))
	_, err = store.Webhooks.Create(ctx, "test", provision.Webhook{ID: uuid.NewString(), Provider: "acme", URL: "https://receiver.example/"},
		[]byte("k0\x00sealed"))
	require.NoError(t, err)

	counts := keys()
	k1 := counts["k1"]
	require.Equal(t, provision.SealKeyUse{ID: "k1", LastUsedAt: k1.LastUsedAt, Passwords: 2, OpenOrders: 1}, k1)
	require.Equal(t, 1, counts["k2"].Passwords)
	require.Equal(t, 2, counts["k2"].OpenOrders)
	require.Equal(t, provision.SealKeyUse{ID: "k0", WebhookSecrets: 1}, counts["k0"], "no one noted when it was used")

	_, err = db.ExecContext(ctx, `UPDATE order_passwords SET expires_at = now() WHERE order_id = 'ended'`)
	require.NoError(t, err)
	require.Equal(t, 1, keys()["k1"].Passwords, "a link that is too old opens nothing")
}

func TestPasswordsAndSecretsAreSealedAgain(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	k1, k2 := secrets.GenerateKey("k1"), secrets.GenerateKey("k2")
	before, err := secrets.ParseRing(k1)
	require.NoError(t, err)
	rotated, err := secrets.ParseRing(k2 + "," + k1)
	require.NoError(t, err)
	seal := func(ring *secrets.Ring, text, purpose string) []byte {
		sealed, err := ring.Seal([]byte(text), purpose)
		require.NoError(t, err)
		return sealed
	}
	again := func(sealed []byte, purpose string) ([]byte, error) {
		text, err := rotated.Open(sealed, purpose)
		if err != nil {
			return nil, err
		}
		return rotated.Seal(text, purpose)
	}
	createAccounts(t, store, provision.ModelSPAM, 1, 3)
	purposes := map[string]string{}
	for i, ring := range []*secrets.Ring{before, before, rotated} {
		key := open(t, store, string(rune('a'+i)), "")
		account := claim(t, store, key).Account.ID
		purposes[account] = provision.PasswordPurpose(key, account)
		_, err = store.Passwords.Keep(ctx, key, account, seal(ring, account, purposes[account]))
		require.NoError(t, err)
	}
	hook := provision.WebhookKey{Provider: "acme", ID: uuid.NewString()}
	_, err = store.Webhooks.Create(ctx, "test", provision.Webhook{ID: hook.ID, Provider: "acme", URL: "https://receiver.example/"},
		seal(before, "hook", provision.WebhookSecretPurpose(hook)))
	require.NoError(t, err)
	all := provision.WebhookKey{Provider: "acme", ID: provision.WebhookCallbacks}
	_, err = store.Webhooks.RotateSecret(ctx, "test", all, seal(before, "all", provision.WebhookSecretPurpose(all)), 0)
	require.NoError(t, err)

	replaced, err := store.SealKeys.Reseal(ctx, "k2", again)
	require.NoError(t, err)
	require.Equal(t, 4, replaced)
	after, err := secrets.ParseRing(k2)
	require.NoError(t, err)
	var passwords []struct {
		AccountID string `db:"account_id"`
		Sealed    []byte `db:"sealed"`
	}
	require.NoError(t, db.SelectContext(ctx, &passwords, `SELECT account_id, sealed FROM order_passwords`))
	require.Len(t, passwords, 3)
	for _, p := range passwords {
		text, err := after.Open(p.Sealed, purposes[p.AccountID])
		require.NoError(t, err)
		require.Equal(t, p.AccountID, string(text))
	}
	for id, purpose := range map[any]string{hook.ID: provision.WebhookSecretPurpose(hook), nil: provision.WebhookSecretPurpose(all)} {
		var sealed []byte
		require.NoError(t, db.GetContext(ctx, &sealed,
			`SELECT sealed FROM webhook_secrets WHERE webhook_id IS NOT DISTINCT FROM $1::uuid`, id))
		_, err := after.Open(sealed, purpose)
		require.NoError(t, err)
	}
	replaced, err = store.SealKeys.Reseal(ctx, "k2", again)
	require.NoError(t, err)
	require.Zero(t, replaced, "nothing is left")

	// What was revealed in the middle stays gone, and an error changes nothing.
	replaced, err = store.SealKeys.Reseal(ctx, "k3", func([]byte, string) ([]byte, error) {
		_, err := db.ExecContext(context.WithoutCancel(ctx), `UPDATE order_passwords SET sealed = NULL`)
		return []byte("k3\x00"), err
	})
	require.NoError(t, err)
	require.Equal(t, 2, replaced, "the webhooks' secrets")
	broken := errors.New("no such key")
	_, err = store.SealKeys.Reseal(ctx, "k4", func([]byte, string) ([]byte, error) { return nil, broken })
	require.ErrorIs(t, err, broken)
}
