package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

// stockAlert opens an alert of acme's pool.
func (s *service) stockAlert() (id string) {
	s.t.Helper()
	_, err := s.store.Stock.Watch(s.t.Context())
	require.NoError(s.t, err)
	return s.must("alerts", "list", "-q")
}

func TestTodoShowsWhatWaitsForAnOperator(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	require.Equal(t, "nothing waits for an operator", s.must("todo"))
	s.order("o-1", provision.ActionRequired)
	s.order("o-2", provision.Provisioning)
	s.order("o-3", provision.Completed)
	key := provision.OrderKey{Provider: "acme", ID: "o-2"}
	require.NoError(t, pgtest.Err(s.store.Steps.Begin(t.Context(), key, "000000500002", provision.StepReport, 1)))
	require.NoError(t, s.store.Steps.End(t.Context(), key, "000000500002", provision.StepReport,
		provision.AttemptEnd{State: provision.StepDone}))
	require.NoError(t, s.store.Orders.BeginUndo(t.Context(), key, provision.Failure{Code: provision.CodeOrderCancelled, Reason: "stopped"}))
	require.Equal(t, "o-1", s.must("todo", "-q"), "an undo that makes progress needs no one")
	_, _, err := s.store.Steps.BeginUndo(t.Context(), key, "000000500002", provision.StepReport, 0)
	require.NoError(t, err)
	require.NoError(t, s.store.Steps.End(t.Context(), key, "000000500002", provision.StepReport,
		provision.AttemptEnd{State: provision.StepUndoing, Problem: "the role may not s3:DeleteBucket"}))
	s.must("pools", "update", "--marketplace=nordic", "--threshold=5")
	alert := s.stockAlert()
	webhook := s.must("webhooks", "create", "https://hooks.example.com/", "-q")
	s.must("webhooks", "update", webhook, "--disable", "--reason=moving")

	out := s.must("todo")
	require.Regexp(t, `(?m)^order +o-1 +\S+Z +AliasTaken .* quartermaster orders show o-1$`, out)
	require.Regexp(t, `(?m)^order +o-2 +\S+Z +.*s3:DeleteBucket`, out)
	require.Regexp(t, `(?m)^alert +`+alert+` +\S+Z +nordic/production: `, out)
	require.Regexp(t, `(?m)^webhook +`+webhook+` +\S+Z +disabled: moving`, out)
	require.NotContains(t, out, "o-3")
	require.Contains(t, s.must("todo", "--json"), `{"kind":"order","object":`+s.get("/v1/orders/o-1")+`}`)

	s.must("alerts", "ack", alert, "--reason=ordered")
	require.NotContains(t, s.must("todo"), alert, "someone takes care of it")
	require.Regexp(t, alert+` +nordic/production +\S+ +acknowledged .* ordered$`, s.must("alerts", "list"))
	require.Empty(t, s.must("alerts", "list", "--state=closed", "-q"))
	require.Equal(t, exitNotFound, exitCode(s.run("alerts", "ack", uuid.NewString(), "--reason=x").err))
}

func TestWebhooksByCommandLine(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	created := s.run("webhooks", "create", "https://hooks.example.com/", "--events=order.*,stock.low", "--description=shop")
	require.NoError(t, created.err)
	require.True(t, strings.HasPrefix(created.out, "whsec_"))
	id := regexp.MustCompile(`webhook (\S+) is created`).FindStringSubmatch(created.logs)[1]
	require.Regexp(t, id+` +endpoint +https://hooks.example.com/ +order.\*,stock.low +true +0 +- +- `, s.must("webhooks", "list"))
	require.Regexp(t, `(?m)^enabled +false$`, s.must("webhooks", "update", id, "--disable", "--reason=moving"))
	require.Regexp(t, `(?m)^url +https://two.example.com/$`, s.must("webhooks", "update", id, "--enable", "--url=https://two.example.com/"))
	rotated := s.run("webhooks", "rotate-secret", id, "--overlap=2d")
	require.NoError(t, rotated.err)
	require.True(t, strings.HasPrefix(rotated.out, "whsec_"))
	require.NotEqual(t, created.out, rotated.out)
	require.True(t, strings.HasPrefix(s.must("webhooks", "callback-secret"), "whsec_"))
	tested := s.must("webhooks", "test", id, "-q")
	require.Contains(t, s.must("webhooks", "test", id), "the test event is being sent; its result: quartermaster webhooks deliveries "+id)
	require.Regexp(t, `(?m)^state +pending$`, s.must("webhooks", "deliveries", id, tested))
	require.ErrorContains(t, s.run("webhooks", "replay", id, "--since=2h").err, "add --yes")
	require.Equal(t, id+": the events are queued", s.must("webhooks", "replay", id, "--since=2h", "--yes"))
	require.ErrorContains(t, s.run("webhooks", "resend", id).err, "name deliveries, or use --failed")
	require.Contains(t, s.run("webhooks", "resend", id, "--failed").logs, "there is nothing to resend")

	key := provision.WebhookKey{Provider: "acme", ID: id}
	_, err := s.store.Deliveries.Next(t.Context(), key)
	require.NoError(t, err)
	delivery := strings.Fields(s.must("webhooks", "deliveries", id, "-q"))[0]
	require.Regexp(t, `(?m)^state +pending$`, s.must("webhooks", "deliveries", id, delivery))
	require.Equal(t, delivery+": pending", s.must("webhooks", "resend", id, delivery))
	require.Equal(t, id+": deleted", s.must("webhooks", "delete", id, "--yes"))
	require.Equal(t, exitNotFound, exitCode(s.run("webhooks", "show", id).err))
}
