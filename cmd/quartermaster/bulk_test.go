package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func TestSeveralOrdersAreReviewedAndEachHasAResult(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	for i := range 12 {
		s.order(fmt.Sprintf("q-%02d", i), provision.ActionRequired)
	}
	s.order("ended", provision.Failed)

	unasked := s.run("orders", "retry", "--code=AliasTaken", "--reason=fixed")
	require.ErrorContains(t, unasked.err, "this would retry 12 orders, and there is no terminal to ask: add --yes")
	require.Equal(t, exitUsage, exitCode(unasked.err))
	declined := s.with(atTerminal("\n"), "orders", "retry", "--code=AliasTaken", "--reason=fixed")
	require.ErrorContains(t, declined.err, "nothing was done")
	require.Contains(t, declined.logs, "This will retry 12 orders:\n  q-11  action_required since ")
	require.Contains(t, declined.logs, "AliasTaken (aws_account_alias): another AWS account has this alias")
	require.Contains(t, declined.logs, "\n  … and 2 more\nContinue? [y/N] ")
	require.Empty(t, s.must("orders", "list", "-q", "--state=provisioning"))

	single := s.must("orders", "retry", "q-00", "--reason=fixed")
	require.Equal(t, "q-00: provisioning", single, "one order that is named needs no question")
	some := s.with(streams{in: strings.NewReader("# mine\nq-01\n\nended\nq-02\nq-01\nnowhere\n")},
		"orders", "retry", "--file=-", "--yes", "--reason=fixed")
	require.Equal(t, "q-01: provisioning\nq-02: provisioning\n", some.out)
	require.Contains(t, some.logs, "ended: ")
	require.Contains(t, some.logs, `nowhere: order "nowhere" not found (NotFound, request `)
	require.ErrorContains(t, some.err, "2 of 4 failed")
	require.Equal(t, exitPartly, exitCode(some.err))
	none := s.run("orders", "retry", "x-1", "x-2", "--yes", "--reason=fixed")
	require.Equal(t, exitNotFound, exitCode(none.err), "all failed in the same way")

	accepted := s.with(atTerminal("yes\n"), "orders", "retry", "--state=action_required", "--reason=fixed", "-q")
	require.NoError(t, accepted.err)
	require.Len(t, strings.Fields(accepted.out), 9)
	nothing := s.run("orders", "retry", "--code=AliasTaken", "--reason=fixed")
	require.NoError(t, nothing.err)
	require.Contains(t, nothing.logs, "no order matches: there is nothing to retry")
}

func TestWhatDestroysAsksEvenForOne(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	for _, id := range []string{"o-1", "o-2", "o-3", "o-4"} {
		s.order(id, provision.Provisioning)
	}
	for wanted, args := range map[string][]string{
		"cancel order o-1":              {"orders", "cancel", "o-1"},
		"fail order o-1":                {"orders", "fail", "o-1", "--reason=x"},
		"swap the account of order o-1": {"orders", "swap", "o-1", "--reason=x"},
		"end the undo of order o-1":     {"orders", "end-undo", "o-1", "--reason=x"},
		"delete account 000000500001":   {"accounts", "delete", "000000500001"},
	} {
		require.ErrorContains(t, s.run(args...).err, "this would "+wanted+", and there is no terminal to ask: add --yes")
	}
	swapped := s.with(atTerminal("y\n"), "orders", "swap", "o-1", "--reason=abuse")
	require.NoError(t, swapped.err)
	require.Contains(t, swapped.logs, "o-1  gives up account 000000500001, which becomes Invalid")
	require.Contains(t, s.must("orders", "cancel", "o-2", "--yes"), "o-2: ")
	require.Contains(t, s.must("orders", "fail", "o-3", "--yes", "--reason=no answer"), "o-3: ")
	require.Contains(t, s.get("/v1/orders/o-3/history"), `"reason":"no answer"`)
	require.Contains(t, s.must("orders", "cancel", "--state=provisioning", "--marketplace=nordic", "--yes", "--json"), `"id":"o-4"`)
	none := s.run("orders", "swap", "o-2", "--yes", "--reason=x")
	require.Equal(t, exitRefused, exitCode(none.err), "%v", none.err)

	for wanted, args := range map[string][]string{
		"no order is named":                        {"orders", "retry", "--reason=x"},
		"give order ids or options that select":    {"orders", "retry", "o-1", "--state=failed", "--reason=x"},
		"missing flags: --reason=TEXT":             {"orders", "fail", "o-1"},
		"no account is named":                      {"accounts", "verify"},
		"give account ids or options that select ": {"accounts", "verify", "000000500001", "--status=ready"},
	} {
		r := s.run(args...)
		require.ErrorContains(t, r.err, wanted)
		require.Equal(t, exitUsage, exitCode(r.err), wanted)
	}
}
