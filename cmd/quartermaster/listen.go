package main

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"time"

	"quartermaster/api/client"
	"quartermaster/internal/provision"
	"quartermaster/internal/webhooks"
)

type listenCommand struct {
	apiOptions
	eventOptions
	Forward     string `help:"Where the events go, such as http://127.0.0.1:3000/hooks." required:"" placeholder:"URL"`
	SecretFile  string `help:"File with the secret that signs the messages, as whsec_<base64>. Unset: a new secret is made and printed." placeholder:"FILE"`
	After       string `help:"Position after which to begin: the next_cursor of GET /v1/events. Unset: from now on." placeholder:"CURSOR"`
	AllowRemote bool   `help:"Also forward to a public https address. Unset: to this machine only."`
}

// Run forwards events until it is interrupted. Each is posted once, with the body, the headers and the signature of a webhook.
func (c *listenCommand) Run(e *env, api *client.Client) error {
	if err := c.check(); err != nil {
		return err
	}
	secret, err := c.secret(e)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.logs, "forwarding events to %s; stop with Ctrl-C\n", c.Forward)
	sender := webhooks.NewSender(webhooks.Policy{Loopback: true}, nil, func() float64 { return 0 })
	for event, err := range api.Follow(e.ctx, client.EventFilter{OrderID: c.Order, Type: c.Type}, c.After) {
		if err != nil {
			return err
		}
		outcome, err := sender.Send(e.ctx, provision.DeliveryJob{
			Webhook: provision.Webhook{URL: c.Forward},
			Event:   provision.Event{ID: event.Value.ID, Type: event.Value.Type, At: event.Value.Timestamp, Data: event.Value.Data},
		}, []string{secret})
		if err != nil {
			return err
		}
		result := cmp.Or(outcome.Error, "accepted")
		fmt.Fprintf(e.out, "%s  %s  %s  %s in %s\n", e.when(time.Now()), event.Value.Type, event.Value.ID, statusOf(outcome)+oneLine(result),
			time.Duration(outcome.TookMS)*time.Millisecond)
	}
	return e.ctx.Err()
}

// secret returns the secret that signs. A new one is printed, for the receiver.
func (c *listenCommand) secret(e *env) (string, error) {
	if c.SecretFile == "" {
		secret := webhooks.NewSecret()
		_, err := fmt.Fprintf(e.out, "messages are signed with the secret %s\n", secret)
		return secret, err
	}
	text, name, err := readFile(e, c.SecretFile, 1<<10)
	if err != nil {
		return "", err
	}
	secret, err := webhooks.ParseSecret(string(text))
	if err != nil {
		err = usage("%s: %w", name, err)
	}
	return secret, err
}

// statusOf returns the status of an answer and a blank; empty: there was no answer.
func statusOf(o provision.DeliveryOutcome) string {
	if o.StatusCode == 0 {
		return ""
	}
	return fmt.Sprintf("%d ", o.StatusCode)
}

// check refuses to forward to other machines, unless that is asked for.
func (c *listenCommand) check() error {
	at, err := url.Parse(c.Forward)
	if err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Host == "" {
		return usage("--forward must have the form http://127.0.0.1:PORT/path")
	}
	port := cmp.Or(at.Port(), map[string]string{"http": "80", "https": "443"}[at.Scheme])
	if err := loopback("--forward", net.JoinHostPort(at.Hostname(), port)); err != nil && !c.AllowRemote {
		return usage("%w, unless --allow-remote is given", err)
	}
	return nil
}
