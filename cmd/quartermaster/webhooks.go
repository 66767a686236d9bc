package main

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"quartermaster/api/client"
	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

type webhooksCommand struct {
	List           listWebhooksCommand   `cmd:"" help:"List the endpoints, oldest first. Their secrets are not shown."`
	Show           showWebhookCommand    `cmd:"" help:"Show an endpoint."`
	Create         createWebhookCommand  `cmd:"" help:"Create an endpoint. Its secret is shown once."`
	Update         updateWebhookCommand  `cmd:"" help:"Change, enable or disable an endpoint. Nothing is lost while it is disabled."`
	Delete         deleteWebhookCommand  `cmd:"" help:"Delete endpoints with their secrets and deliveries."`
	RotateSecret   rotateSecretCommand   `cmd:"" help:"Replace the secret of an endpoint. The new one is shown once."`
	CallbackSecret callbackSecretCommand `cmd:"" help:"Replace the secret that signs callbacks, or create it. It is shown once."`
	Test           testWebhookCommand    `cmd:"" help:"Send a test event to an endpoint."`
	Deliveries     deliveriesCommand     `cmd:"" help:"List the deliveries to an endpoint, newest event first, or show one with its attempts."`
	Resend         resendCommand         `cmd:"" help:"Send deliveries again, or at once."`
	Replay         replayCommand         `cmd:"" help:"Send all events since a point in time again."`
}

type listWebhooksCommand struct {
	apiOptions
	outputOptions
	pageOptions
}

// Run prints the endpoints.
func (c *listWebhooksCommand) Run(e *env, api *client.Client) error {
	return webhooksOf(e, api).write(e, c.outputOptions, c.pageOptions)
}

func webhooksOf(e *env, api *client.Client) listing[openapi.Webhook] {
	return listing[openapi.Webhook]{
		get: func(limit *int, cursor *string) (*http.Response, error) {
			return api.ListWebhooks(e.ctx, &openapi.ListWebhooksParams{Limit: limit, Cursor: cursor})
		},
		headings: []string{"WEBHOOK", "KIND", "URL", "EVENTS", "ENABLED", "QUEUE", "LAST ANSWER", "FAILING SINCE", "CREATED"},
		cells: func(w openapi.Webhook) []any {
			return []any{w.ID, w.Kind, w.URL, strings.Join(w.EventTypes, ","), w.Enabled, queueLength(w.Queue), lastAnswer(w.LastAttempt),
				e.whenOr(w.FailingSince, "-"), e.when(w.CreatedAt)}
		},
		id: func(w openapi.Webhook) string { return w.ID },
	}
}

// queueLength returns how many messages wait; a + says that there are more.
func queueLength(q openapi.WebhookQueue) string {
	if q.More {
		return fmt.Sprintf("%d+", q.Count)
	}
	return strconv.Itoa(q.Count)
}

// lastAnswer returns what came of the last attempt: the status of the answer, or the problem if there was none.
func lastAnswer(a *openapi.LastAttempt) string {
	switch {
	case a == nil:
		return "-"
	case a.StatusCode == nil:
		return or(a.Error, "-")
	}
	return strconv.Itoa(*a.StatusCode)
}

// webhookOption names an endpoint.
type webhookOption struct {
	ID string `arg:"" name:"webhook" help:"Id of the endpoint: quartermaster webhooks list shows it."`
}

type showWebhookCommand struct {
	apiOptions
	outputOptions
	webhookOption
}

// Run prints the endpoint.
func (c *showWebhookCommand) Run(e *env, api *client.Client) error {
	return writeWebhook(e, c.outputOptions)(api.GetWebhook(e.ctx, c.ID))
}

// writeWebhook returns a function that prints the endpoint of an answer.
func writeWebhook(e *env, output outputOptions) func(*http.Response, error) error {
	return func(answer *http.Response, err error) error {
		webhook, raw, err := client.Object[openapi.Webhook](answer, err)
		if err != nil {
			return err
		}
		return writeObject(e, output, webhook, raw, webhook.ID, showWebhook)
	}
}

func showWebhook(e *env, w openapi.Webhook) error {
	f := newFacts(e.out)
	f.add("webhook", w.ID)
	f.add("url", w.URL)
	f.add("kind", w.Kind)
	f.add("events", strings.Join(w.EventTypes, ", "))
	if w.Marketplaces != nil {
		f.add("marketplaces", strings.Join(*w.Marketplaces, ", "))
	}
	f.add("description", w.Description)
	f.add("enabled", w.Enabled)
	f.add("disabled", e.whenOr(w.DisabledAt, ""))
	f.add("disabled by", or(w.DisabledBy, ""))
	f.add("why", or(w.DisabledBecause, ""))
	f.add("failing since", e.whenOr(w.FailingSince, ""))
	if a := w.LastAttempt; a != nil {
		f.add("last attempt", e.when(a.At))
		f.add("last answer", lastAnswer(a))
	}
	f.add("messages waiting", queueLength(w.Queue))
	f.add("the oldest", e.whenOr(w.Queue.OldestAt, ""))
	if b := w.Blocked; b != nil {
		f.add("blocked since", e.when(b.Since))
		f.add("blocked by", fmt.Sprintf("%s of %s, delivery %s", b.EventType, b.Subject, b.DeliveryID))
		f.add("last error", b.Error)
		f.add("next attempt", e.when(b.NextAttemptAt))
	}
	f.add("created", e.when(w.CreatedAt))
	f.add("created by", or(w.CreatedBy, ""))
	return f.out.Flush()
}

type createWebhookCommand struct {
	apiOptions
	outputOptions
	onceOptions
	URL         string   `arg:"" name:"url" help:"https URL of the receiver."`
	Events      []string `help:"Types of events, such as order.* or order.completed. Unset: all." placeholder:"TYPE"`
	Marketplace []string `help:"Only events about orders of this marketplace. Repeat the option for several. Unset: all events." placeholder:"ID"`
	Description string   `help:"What the endpoint is for." placeholder:"TEXT"`
}

// Run creates the endpoint and prints its secret.
func (c *createWebhookCommand) Run(e *env, api *client.Client) error {
	created, raw, err := client.Object[openapi.WebhookWithSecret](api.CreateWebhook(e.ctx,
		&openapi.CreateWebhookParams{IdempotencyKey: c.idempotencyKey()}, openapi.NewWebhook{
			URL: c.URL, EventTypes: namedList(c.Events), Description: named(c.Description), Marketplaces: namedList(c.Marketplace),
		}))
	if err != nil {
		return err
	}
	return writeObject(e, c.outputOptions, created, raw, created.Webhook.ID, func(e *env, w openapi.WebhookWithSecret) error {
		fmt.Fprintf(e.logs, "webhook %s is created; this secret signs its messages and is shown only now:\n", w.Webhook.ID)
		_, err := fmt.Fprintln(e.out, w.Secret)
		return err
	})
}

type updateWebhookCommand struct {
	apiOptions
	outputOptions
	webhookOption
	URL         string   `name:"url" help:"Another https URL." placeholder:"URL"`
	Events      []string `help:"Other types of events." placeholder:"TYPE"`
	Description string   `help:"Another description." placeholder:"TEXT"`
	Enable      bool     `help:"Send messages, the waiting ones first." xor:"enabled"`
	Disable     bool     `help:"Send no messages; they wait." xor:"enabled"`
	Reason      string   `help:"Why." placeholder:"TEXT"`
}

// Run changes the endpoint and prints it.
func (c *updateWebhookCommand) Run(e *env, api *client.Client) error {
	update := openapi.WebhookUpdate{
		URL: named(c.URL), EventTypes: namedList(c.Events), Description: named(c.Description), Reason: named(c.Reason),
	}
	if c.Enable || c.Disable {
		update.Enabled = &c.Enable
	}
	return writeWebhook(e, c.outputOptions)(api.UpdateWebhook(e.ctx, c.ID, &openapi.UpdateWebhookParams{IfMatch: anyVersion}, update))
}

type deleteWebhookCommand struct {
	apiOptions
	outputOptions
	yesOptions
	idOptions
	whyOptions
}

// Run deletes the endpoints.
func (c *deleteWebhookCommand) Run(e *env, api *client.Client) error {
	ids, err := c.ids(e)
	if err != nil {
		return err
	}
	targets := targetsOf(ids)
	for i, t := range targets {
		webhook, _, err := client.Object[openapi.Webhook](api.GetWebhook(e.ctx, t.id))
		if err != nil {
			return err
		}
		targets[i].what = webhook.URL
	}
	return bulk{
		outputOptions: c.outputOptions, yesOptions: c.yesOptions, verb: "delete", noun: "webhook", targets: targets, destroys: true,
		do: func(id string) ([]byte, string, error) {
			raw, err := client.Body(api.DeleteWebhook(e.ctx, id, &openapi.DeleteWebhookParams{
				IfMatch: anyVersion, Reason: named(c.Reason),
			}))
			return raw, "deleted", err
		},
	}.run(e)
}

// overlapOptions say how long an old secret signs as well.
type overlapOptions struct {
	Overlap time.Duration `help:"How long the old secret signs as well, at most 7d. 0: not at all, for a secret that has leaked." default:"24h"`
}

func (o overlapOptions) rotation() openapi.SecretRotation {
	return openapi.SecretRotation{OverlapSeconds: seconds(&o.Overlap)}
}

// writeSecret returns a function that prints the secret of an answer.
func writeSecret(e *env, output outputOptions, id string) func(*http.Response, error) error {
	return func(answer *http.Response, err error) error {
		secret, raw, err := client.Object[openapi.WebhookSecret](answer, err)
		if err != nil {
			return err
		}
		return writeObject(e, output, secret, raw, id, func(e *env, s openapi.WebhookSecret) error {
			fmt.Fprintf(e.logs, "this secret signs from now on and is shown only now; the old one signs as well until: %s\n",
				e.whenOr(s.OlderSignsUntil, "it signs no more"))
			_, err := fmt.Fprintln(e.out, s.Secret)
			return err
		})
	}
}

type rotateSecretCommand struct {
	apiOptions
	outputOptions
	onceOptions
	webhookOption
	overlapOptions
}

// Run replaces the secret and prints the new one.
func (c *rotateSecretCommand) Run(e *env, api *client.Client) error {
	return writeSecret(e, c.outputOptions, c.ID)(api.RotateWebhookSecret(e.ctx, c.ID,
		&openapi.RotateWebhookSecretParams{IdempotencyKey: c.idempotencyKey()}, c.rotation()))
}

type callbackSecretCommand struct {
	apiOptions
	outputOptions
	onceOptions
	overlapOptions
}

// Run replaces the callback secret and prints the new one.
func (c *callbackSecretCommand) Run(e *env, api *client.Client) error {
	return writeSecret(e, c.outputOptions, "callbacks")(api.RotateCallbackSecret(e.ctx,
		&openapi.RotateCallbackSecretParams{IdempotencyKey: c.idempotencyKey()}, c.rotation()))
}

type testWebhookCommand struct {
	apiOptions
	outputOptions
	webhookOption
}

// Run sends the test event.
func (c *testWebhookCommand) Run(e *env, api *client.Client) error {
	delivery, raw, err := client.Object[openapi.Delivery](api.TestWebhook(client.Once(e.ctx), c.ID))
	if err != nil {
		return err
	}
	return writeObject(e, c.outputOptions, delivery, raw, delivery.ID, func(e *env, d openapi.Delivery) error {
		_, err := fmt.Fprintf(e.out, "the test event is being sent; its result: quartermaster webhooks deliveries %s %s\n", c.ID, d.ID)
		return err
	})
}

type deliveriesCommand struct {
	apiOptions
	outputOptions
	pageOptions
	webhookOption
	Delivery string                  `arg:"" optional:"" help:"Id of a delivery, to show its attempts."`
	State    provision.DeliveryState `help:"Only deliveries in this state: pending, delivered or failed." enum:",pending,delivered,failed" default:"" placeholder:"STATE"`
}

// Run prints the deliveries, or the attempts of one.
func (c *deliveriesCommand) Run(e *env, api *client.Client) error {
	if c.Delivery != "" {
		delivery, raw, err := client.Object[openapi.DeliveryWithAttempts](api.GetDelivery(e.ctx, c.ID, c.Delivery))
		if err != nil {
			return err
		}
		return writeObject(e, c.outputOptions, delivery, raw, c.Delivery, showDelivery)
	}
	return listing[openapi.Delivery]{
		get: func(limit *int, cursor *string) (*http.Response, error) {
			return api.ListDeliveries(e.ctx, c.ID, &openapi.ListDeliveriesParams{State: named(c.State), Limit: limit, Cursor: cursor})
		},
		headings: []string{"DELIVERY", "EVENT", "ABOUT", "HAPPENED", "STATE", "ATTEMPTS", "LAST ANSWER", "NEXT ATTEMPT",
			"ENDED"},
		cells: func(d openapi.Delivery) []any {
			answer := "-"
			if a := d.LastAttempt; a != nil {
				answer = lastAnswer(&openapi.LastAttempt{StatusCode: a.StatusCode, Error: a.Error})
			}
			return []any{d.ID, d.EventType, d.Subject, e.when(d.EventAt), d.State, d.AttemptsMade, answer,
				e.whenOr(d.NextAttemptAt, "-"), e.whenOr(d.EndedAt, "-")}
		},
		id: func(d openapi.Delivery) string { return d.ID },
	}.write(e, c.outputOptions, c.pageOptions)
}

func showDelivery(e *env, d openapi.DeliveryWithAttempts) error {
	f := newFacts(e.out)
	f.add("delivery", d.Delivery.ID)
	f.add("event", d.Delivery.EventType+" "+d.Delivery.EventID)
	f.add("about", d.Delivery.Subject)
	f.add("state", d.Delivery.State)
	f.add("next attempt", e.whenOr(d.Delivery.NextAttemptAt, ""))
	if err := f.out.Flush(); err != nil || len(d.Attempts) == 0 {
		return err
	}
	fmt.Fprintln(e.out)
	rows := newTable(e.out, "ATTEMPT", "STATUS", "TOOK", "PROBLEM", "ANSWER")
	for _, a := range d.Attempts {
		rows.row(e.when(a.At), numberOrDash(a.StatusCode), time.Duration(a.TookMs)*time.Millisecond, orDash(a.Error), orDash(a.Answer))
	}
	return rows.flush()
}

type resendCommand struct {
	apiOptions
	outputOptions
	yesOptions
	webhookOption
	Deliveries []string `arg:"" optional:"" name:"delivery" help:"Ids of deliveries."`
	Failed     bool     `help:"All deliveries that have failed for good."`
}

// Run sends the deliveries again.
func (c *resendCommand) Run(e *env, api *client.Client) error {
	targets := targetsOf(c.Deliveries)
	if c.Failed == (len(targets) > 0) {
		return usage("name deliveries, or use --failed")
	}
	if c.Failed {
		failed, err := listing[openapi.Delivery]{get: func(limit *int, cursor *string) (*http.Response, error) {
			return api.ListDeliveries(e.ctx, c.ID,
				&openapi.ListDeliveriesParams{State: named(provision.DeliveryFailed), Limit: limit, Cursor: cursor})
		}}.all()
		if err != nil {
			return err
		}
		for i := len(failed) - 1; i >= 0; i-- { // the oldest first
			targets = append(targets, target{failed[i].ID, failed[i].EventType + "  " + failed[i].Subject + "  " + e.when(failed[i].EventAt)})
		}
	}
	return bulk{
		outputOptions: c.outputOptions, yesOptions: c.yesOptions, verb: "resend", noun: "delivery", plural: "deliveries", targets: targets,
		selected: c.Failed,
		do: func(id string) ([]byte, string, error) {
			delivery, raw, err := client.Object[openapi.Delivery](api.ResendDelivery(e.ctx, c.ID, id))
			return raw, cmp.Or(string(delivery.State), "queued"), err
		},
	}.run(e)
}

type replayCommand struct {
	apiOptions
	outputOptions
	yesOptions
	webhookOption
	Since time.Time `help:"From when on: a time, a day, or how long ago, such as 2h. Events are kept for 90 days." required:"" placeholder:"TIME"`
}

// Run queues the events. The receiver gets those again that it already has, so the command asks first.
func (c *replayCommand) Run(e *env, api *client.Client) error {
	return bulk{
		outputOptions: c.outputOptions, yesOptions: c.yesOptions, verb: "replay all events since " + e.when(c.Since) + " to", noun: "webhook",
		targets: targetsOf([]string{c.ID}), destroys: true,
		do: func(id string) ([]byte, string, error) {
			raw, err := client.Body(api.ReplayWebhook(client.Once(e.ctx), id, openapi.Replay{Since: c.Since}))
			return raw, "the events are queued", err
		},
	}.run(e)
}
