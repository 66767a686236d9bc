package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

func TestABatchByCommandLine(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	for _, id := range []string{"MP-1", "MP-2"} {
		s.order(id, provision.ActionRequired)
	}
	s.order("MP-3", provision.WaitingForAccount)

	preview := s.must("batches", "preview", "retry", "--all-that-match")
	require.Contains(t, preview, "3 selected, of which 1 will probably refuse")
	require.Regexp(t, `MP-3 +waiting_for_account +NotAsked +order "MP-3" is waiting_for_account: it waits for nothing`, preview)
	require.Equal(t, "2", s.must("batches", "preview", "retry", "--all-that-match", "--state=action_required", "--quiet"))

	id := uuid.NewString()
	create := []string{"batches", "create", "retry", "--all-that-match", "--reason=It is mended.", "--id=" + id, "--yes"}
	require.ErrorContains(t, s.run(append(create, "--expect=2")...).err, "3 orders now, and 2 were reviewed")
	require.Error(t, s.run("batches", "show", id).err, "nothing happened")

	created := s.run(append(create, "--wait", "--poll=1ms")...)
	require.Equal(t, exitPartly, exitCode(created.err), "%v", created.err)
	require.Contains(t, created.out, "2 done, 1 refused, 0 failed, 0 waiting")
	require.Contains(t, s.must(create...), id, "a repeat shows the batch")
	require.Contains(t, s.must("batches", "show", id), "retry 3 orders")
	require.Equal(t, id, s.must("batches", "list", "--quiet"))
	require.Equal(t, "MP-3", s.must("batches", "results", id, "--outcome=refused", "--quiet"))
	require.Regexp(t, `MP-3 +refused +\S+ +NotAsked +the order`, s.must("batches", "results", id))
	require.ErrorContains(t, s.run("batches", "stop", id, "--reason=enough").err, "is completed: only a running batch can be stopped")
	require.Contains(t, s.must("orders", "history", "MP-1"), "It is mended.")
}

func TestABatchAsksBeforeItIsCreated(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	s.account("111122223333", provision.AccountReady)
	s.account("111122223334", provision.AccountInvalid)
	create := []string{"batches", "create", "delete", "111122223333", "111122223334", "--reason=closed"}
	require.ErrorContains(t, s.run(create...).err, "this would delete 2 accounts, and there is no terminal to ask")
	person := streams{in: strings.NewReader("n\n"), answerable: true}
	require.ErrorContains(t, s.with(person, create...).err, "nothing was done")
	person = streams{in: strings.NewReader("y\n"), answerable: true}
	done := s.with(person, append(create, "--json")...)
	require.NoError(t, done.err)
	require.Contains(t, done.logs, "This will delete 2 accounts:")
	var batch openapi.Batch
	require.NoError(t, json.Unmarshal([]byte(done.out), &batch))
	require.Equal(t, 2, batch.Total)
	require.Contains(t, s.must("batches", "show", batch.ID), "completed")
	require.Empty(t, s.must("accounts", "list", "--quiet"))
	require.Equal(t, "there are no accounts to verify",
		s.run("batches", "create", "verify", "--failed-of="+batch.ID, "--reason=again").err.Error(), "no row has failed")
}

func TestASelectionOfABatchIsClear(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	require.ErrorContains(t, s.run("batches", "preview", "retry").err, "name the orders by their ids")
	require.ErrorContains(t, s.run("batches", "preview", "verify", "111122223333", "--all-that-match").err, "name the accounts by their ids")
	require.ErrorContains(t, s.run("batches", "preview", "explode", "MP-1").err, "must be one of")
}
