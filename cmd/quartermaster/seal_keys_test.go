package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
	"quartermaster/workflows"
	"quartermaster/workflows/control/controltest"
)

func ringOf(t *testing.T, keys string) *secrets.Ring {
	t.Helper()
	ring, err := secrets.ParseRing(keys)
	require.NoError(t, err)
	return ring
}

// announce makes a process with these keys known to the others.
func announce(t *testing.T, store *postgres.DB, kind provision.ProcessKind, host string, ring *secrets.Ring,
	used map[string]time.Duration,
) provision.Process {
	t.Helper()
	p := provision.Process{ID: uuid.NewString(), Kind: kind, Host: host, PID: 1, Keys: ring.Names(), SealsWith: ring.Active()}
	_, err := store.Processes.Announce(t.Context(), p, used)
	require.NoError(t, err)
	return p
}

// Not parallel: Temporal's address comes from the environment, which is the process's.
func TestKeysStatusShowsARotationAndResealFollowsIt(t *testing.T) {
	f, address := controltest.Serve(t)
	t.Setenv("TEMPORAL_ADDRESS", address)
	f.AddRun("order/acme/o-1", "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)
	f.AddRun("import/acme/i-1", "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING).Type.Name = workflows.ImportAccountsName
	ctx, url := t.Context(), pgtest.URL(t)
	store, err := postgres.Open(ctx, url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	db := store.SQL()
	require.NoError(t, store.Providers.Create(ctx, "acme", "Acme"))
	k1, k2 := secrets.GenerateKey("k1"), secrets.GenerateKey("k2")
	before, rotated := ringOf(t, k1), ringOf(t, k2+","+k1)
	hook := provision.WebhookKey{Provider: "acme", ID: uuid.NewString()}
	sealed, err := before.Seal([]byte("a secret"), provision.WebhookSecretPurpose(hook))
	require.NoError(t, err)
	_, err = store.Webhooks.Create(ctx, "test", provision.Webhook{ID: hook.ID, Provider: "acme", URL: "https://receiver.example/"}, sealed)
	require.NoError(t, err)

	out, err := call(t, "seal-keys", "status", "--database-url="+url)
	require.NoError(t, err)
	require.Regexp(t, `(?m)^k1 +0 of 0 +0 of 0 +never +1 webhook secret +-$`, out)
	require.Contains(t, out, "No API and no worker runs: start them")

	// The API has both keys, the worker lacks the new one.
	rotated.Follow([][]string{before.Names()})
	announce(t, store, provision.ProcessAPI, "a", rotated, map[string]time.Duration{"k1": 0})
	worker := announce(t, store, provision.ProcessWorker, "b", before, nil)
	out, err = call(t, "seal-keys", "status", "--database-url="+url)
	require.NoError(t, err)
	require.Regexp(t, `(?m)^k1 +2 of 2 +2 of 2 +20\S+Z +1 webhook secret, 1 open order and 1 other open workflow +-$`, out)
	require.Regexp(t, `(?m)^k2 +1 of 2, not worker b/1 +0 of 2 +never +- +-$`, out)
	require.Contains(t, out, "k2 is known by 1 of 2 processes and seals nothing yet: "+
		"put it in front of QM_SEAL_KEYS of worker b/1 and restart them")
	require.Contains(t, f.VisibilityQueries[len(f.VisibilityQueries)-1], "ExecutionStatus != 'Running'")
	out, err = call(t, "seal-keys", "reseal", "--seal-keys="+k2+","+k1, "--database-url="+url)
	require.NoError(t, err)
	require.Equal(t, "0 passwords and webhook secrets are sealed with k1 now\n", out, "as the processes do")

	// The worker has it too.
	require.NoError(t, store.Processes.Remove(ctx, worker.ID))
	rotated.Follow(nil)
	_, err = db.ExecContext(ctx, `DELETE FROM processes`)
	require.NoError(t, err)
	announce(t, store, provision.ProcessAPI, "a", rotated, map[string]time.Duration{"k1": time.Minute, "k2": 0})
	announce(t, store, provision.ProcessWorker, "b", rotated, nil)
	out, err = call(t, "seal-keys", "reseal", "--seal-keys="+k2+","+k1, "--database-url="+url)
	require.NoError(t, err)
	require.Equal(t, "1 passwords and webhook secrets are sealed with k2 now\n", out)
	out, err = call(t, "seal-keys", "status", "--json", "--database-url="+url)
	require.NoError(t, err)
	var state secrets.Rotation
	require.NoError(t, json.Unmarshal([]byte(out), &state))
	require.Len(t, state.Processes, 2)
	require.Len(t, state.Keys, 2)
	require.Zero(t, state.Keys[0].WebhookSecrets)
	require.Equal(t, 1, state.Keys[1].WebhookSecrets)
	require.WithinDuration(t, time.Now().Add(controltest.Retention), *state.Keys[0].RemovableAfter, time.Minute)
	require.Contains(t, state.Next, "k2 is known everywhere and seals. k1 may be removed after ")

	_, err = call(t, "seal-keys", "reseal", "--seal-keys="+secrets.GenerateKey("k3"), "--database-url="+url)
	require.ErrorContains(t, err, "no key of QM_SEAL_KEYS is known to every running process")
}
