package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

// newOrderArgs are a command that places an order.
func newOrderArgs(id string, more ...string) []string {
	return append([]string{
		"orders", "create", id, "--marketplace=nordic", "--iam-user-name=anna.berg", "--aws-contact-name=Anna Berg",
		"--aws-account-alias=berg-logistics",
	}, more...)
}

func TestAnOrderIsFoundExplainedAndMended(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	s.order("MP-1", provision.ActionRequired)
	s.order("MP-2", provision.WaitingForAccount)
	list := s.must("orders", "list", "--state=action_required", "--code=AliasTaken")
	require.Regexp(t, `(?m)^MP-1 +action_required +\S+Z +nordic/production +000000500001 `+
		`+.*AliasTaken \(aws_account_alias\): another AWS account`, list)
	require.NotContains(t, list, "MP-2")
	require.NotContains(t, s.must("orders", "list", "--code=Other"), "MP-1")
	require.Equal(t, "MP-2\nMP-1", s.must("orders", "list", "-q", "--created-after=1h"))
	require.Empty(t, s.must("orders", "list", "-q", "--created-before=1h"))

	shown := s.must("orders", "show", "MP-1")
	require.Regexp(t, `(?m)^what to do +correct the field: quartermaster orders correct MP-1 --aws-account-alias …$`, shown)
	require.Contains(t, s.must("orders", "show", "MP-2"), "add accounts to the pool")
	corrected := s.must("orders", "correct", "MP-1", "--aws-account-alias=berg-eu", "--reason=by phone")
	require.Regexp(t, `(?m)^state +provisioning since`, corrected)
	require.Regexp(t, `(?m)^\S+Z +key \S+ .* correct +by phone$`, s.must("orders", "history", "MP-1"))
	refused := s.run("orders", "correct", "MP-1", "--aws-account-alias=UPPER")
	require.Equal(t, exitRefused, exitCode(refused.err))
	require.Contains(t, inWords(refused.err), "\n  aws_account_alias: ")
}

func TestAnOrderIsPlacedFromOptionsAFileOrTheStandardInput(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	require.Equal(t, "order o-1 would be accepted", s.must(newOrderArgs("o-1", "--dry-run")...))
	require.Empty(t, s.must("orders", "list", "-q"), "a dry run places nothing")
	withContact := newOrderArgs("o-1", "--account-model=SPAM", "--customer-id=C-1", "--customer-name=Berg AB", "--alternate-contact-name=Desk",
		"--alternate-contact-email=desk@berg.example", "--alternate-contact-phone=+46 8 1", "--alternate-contact-title=Clerk")
	require.Contains(t, s.must(withContact...), "order o-1 is accepted")
	require.Contains(t, s.get("/v1/orders/o-1"), `"email":"desk@berg.example"`)
	require.Equal(t, "o-1", s.must(append(withContact, "-q")...), "the same order again")
	require.Equal(t, "o-1", s.must("orders", "list", "--customer=C-1", "-q"))
	require.Empty(t, s.must("orders", "list", "--customer=C-2", "-q"))
	other := s.run(newOrderArgs("o-1", "--retry-for=1m")...)
	require.Equal(t, exitRefused, exitCode(other.err))
	require.Contains(t, inWords(other.err), "already exists with different content")

	const order = `{"id":"o-2","marketplace":"nordic","environment":"production","order_mode":"new_account","iam_user_name":"anna",` +
		`"aws_contact_name":"Anna","aws_account_alias":"anna-2"}`
	file := filepath.Join(t.TempDir(), "order.json")
	require.NoError(t, os.WriteFile(file, []byte(order), 0o600))
	require.Equal(t, "o-2", s.must("orders", "create", "--file="+file, "-q"))
	piped := s.with(streams{in: strings.NewReader(strings.ReplaceAll(order, "o-2", "o-3"))}, "orders", "create", "--file=-", "--json")
	require.NoError(t, piped.err)
	require.Contains(t, piped.out, `"id":"o-3"`)

	for wanted, args := range map[string][]string{
		"the order's id is missing":          {"orders", "create", "--marketplace=nordic"},
		"--file holds the whole order":       newOrderArgs("o-4", "--file="+file),
		"is not the JSON of an order":        {"orders", "create", "--file=" + keyFile(t, "id: o-4")},
		"--existing-cur-kind must be one of": newOrderArgs("o-4", "--existing-cur-kind=focus"),
	} {
		r := s.run(args...)
		require.ErrorContains(t, r.err, wanted)
		require.Equal(t, exitUsage, exitCode(r.err), wanted)
	}
	invalid := s.run(newOrderArgs("o 4", "--aws-account-alias=UPPER")...)
	require.Equal(t, exitRefused, exitCode(invalid.err))
	require.Contains(t, inWords(invalid.err), "\n  id: ")
	require.Contains(t, inWords(invalid.err), "\n  aws_account_alias: ", "every wrong field at once")
}

func TestAnOrderWhoseAnswerIsLostIsSentAgain(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	s.workflows.LoseAnswers(1)
	s.retryFor = "1m"
	r := s.run(newOrderArgs("o-1")...)
	require.NoError(t, r.err)
	require.Contains(t, r.out, "order o-1 is accepted")
	require.Contains(t, r.logs, "no answer yet (503 Service Unavailable")
	require.Contains(t, r.logs, "trying again in")

	s.url, s.retryFor = "http://127.0.0.1:1", "0s"
	gone := s.run(newOrderArgs("o-2")...)
	require.Equal(t, exitUnavailable, exitCode(gone.err))
	require.ErrorContains(t, gone.err, "could not confirm that order o-2 was accepted: no answer from 127.0.0.1:1")
	require.ErrorContains(t, gone.err, "run the same command again, it never places a second order")
}

func TestWatchFollowsAnOrderUntilItEnds(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	s.order("o-1", provision.Provisioning)
	done := make(chan result)
	go func() { done <- s.run("orders", "watch", "o-1") }()
	s.seed.Complete(t, provision.OrderKey{Provider: "acme", ID: "o-1"}, "000000500001")
	r := <-done
	require.NoError(t, r.err)
	require.Regexp(t, `(?m)^\S+Z  o-1  completed  000000500001  allocate$`, r.out)
	require.Regexp(t, `(?m)^sign-in +https://berg-logistics.signin.aws.amazon.com/console/$`, r.out)

	s.order("o-2", provision.Failed)
	failed := s.run("orders", "watch", "o-2", "--json")
	require.ErrorContains(t, failed.err, "order o-2 is failed: FailedByOperator: given up")
	require.Equal(t, exitFailed, exitCode(failed.err))
	require.Equal(t, s.get("/v1/orders/o-2")+"\n", failed.out)
	require.Equal(t, exitNotFound, exitCode(s.run("orders", "watch", "o-9").err))
}

func TestTheOrderFormIsPrinted(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	s.account("111122223333", provision.AccountReady)
	s.order("o-1", provision.WaitingForAccount)
	require.Regexp(t, `(?s)nordic/production +any +1 +1 +-.* SPAM +1 .* ECAM +0`, s.must("orders", "form"))
	require.Contains(t, strings.Fields(s.must("orders", "form", "-q")), "nordic/production")
}
