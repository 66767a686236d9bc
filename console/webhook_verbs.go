package console

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"quartermaster/api/openapi"
)

// webhookVerb is something that is done to a webhook after a review.
type webhookVerb struct {
	name, title, button, said string
	danger, reason, since     bool
	does                      []string
	do                        func(p *page, w openapi.Webhook, f *form) error
}

var webhookVerbs = []webhookVerb{
	{
		name: "disable", title: "Disable the webhook", button: "Disable", said: "The webhook is disabled. Its messages wait.",
		danger: true, reason: true,
		does: []string{
			"No message is sent until someone enables the webhook again.",
			"Nothing is lost: messages wait, and are then sent in order.",
			"Events are kept for 90 days.",
		},
		do: func(p *page, w openapi.Webhook, f *form) error { return p.switchWebhook(w, f, false) },
	},
	{
		name: "enable", title: "Enable the webhook", button: "Enable", said: "The webhook is enabled. Waiting messages are being sent.",
		does: []string{"Waiting messages are sent at once, in order.", "If the receiver still refuses, they are tried again for 5 days."},
		do:   func(p *page, w openapi.Webhook, f *form) error { return p.switchWebhook(w, f, true) },
	},
	{
		name: "replay", title: "Send events again", button: "Send again", said: "The events are being sent again.", since: true,
		does: []string{
			"Every event since then that matches the webhook is sent, in order: also those that were delivered, and those from before it was made.",
			"Each message keeps its webhook-id, by which a receiver knows what it has already seen.",
			"Newer messages wait until these are delivered.",
		},
		do: replay,
	},
	{
		name: "delete", title: "Delete the webhook", button: "Delete", said: "The webhook is deleted.", danger: true, reason: true,
		does: []string{
			"The receiver gets no more messages, those that wait included.",
			"Its secret and the record of its deliveries are deleted as well. There is no way back.",
			"To pause it instead, disable it.",
		},
		do: func(p *page, w openapi.Webhook, f *form) error {
			return done(p.API.DeleteWebhook(p.ctx(), w.ID,
				&openapi.DeleteWebhookParams{IfMatch: f.optional("version"), Reason: f.optional("reason")}))
		},
	},
}

// switchWebhook enables or disables a webhook.
func (p *page) switchWebhook(w openapi.Webhook, f *form, on bool) error {
	return done(p.API.UpdateWebhook(p.ctx(), w.ID, &openapi.UpdateWebhookParams{IfMatch: f.optional("version")},
		openapi.WebhookUpdate{Enabled: &on, Reason: f.optional("reason")}))
}

// sinceFormats are what browsers send for a point in time.
var sinceFormats = []string{"2006-01-02T15:04", "2006-01-02T15:04:05"}

// replay sends events again. The form names a time of the page's zone.
func replay(p *page, w openapi.Webhook, f *form) error {
	for _, format := range sinceFormats {
		if since, err := time.ParseInLocation(format, f.Value("since"), p.location); err == nil {
			return done(p.API.ReplayWebhook(p.ctx(), w.ID, openapi.Replay{Since: since.UTC()}))
		}
	}
	return &openapi.Problem{Status: http.StatusUnprocessableEntity, Detail: "1 field is invalid", Errors: &[]openapi.FieldProblem{{
		Field: new("since"), Message: `"` + f.Value("since") + `" is not a time: write it as 2026-11-26T03:12`}}}
}

// review answers GET /{provider}/webhooks/{webhook}/{verb}: what will happen?
func (v webhookVerb) review(p *page) error {
	w, version, err := p.versionedWebhook()
	if err != nil {
		return err
	}
	since := p.Now.Add(-24 * time.Hour)
	if w.FailingSince != nil {
		since = *w.FailingSince
	}
	f := p.newForm(url.Values{"version": {version}, "since": {since.In(p.location).Format(sinceFormats[0])}})
	return p.show("connection-review", v.title, v.data(p, w, f))
}

// act answers POST /{provider}/webhooks/{webhook}/{verb}.
func (v webhookVerb) act(p *page) error {
	f, err := p.sent()
	if err != nil {
		return err
	}
	w, version, err := p.versionedWebhook()
	if err != nil {
		return err
	}
	if v.reason && f.Value("reason") == "" {
		return p.noReason(f, v.title, v.data(p, w, f))
	}
	if err = v.do(p, w, f); err != nil && f.refuse(err, nil) {
		if f.Status == http.StatusPreconditionFailed {
			f.Refused = "Someone changed this webhook after you opened the page. Nothing was done. Below is how it is now: confirm again."
			f.Values.Set("version", version)
		}
		return p.again(f, "connection-review", v.title, v.data(p, w, f))
	}
	if err != nil {
		return err
	}
	if v.name == "delete" {
		return p.redirect(p.URL("webhooks"), v.said)
	}
	return p.redirect(p.URL("webhooks", w.ID), v.said)
}

// noReason shows a review again whose reason is missing. The API takes some requests without one.
func (p *page) noReason(f *form, title string, data connectionReview) error {
	f.Status, f.Refused = http.StatusUnprocessableEntity, "1 field is invalid"
	f.Listed = []fieldMessage{{"reason", "A reason is needed: say why, for the people who will read the history."}}
	return p.again(f, "connection-review", title, data)
}

func (v webhookVerb) data(p *page, w openapi.Webhook, f *form) connectionReview {
	return connectionReview{
		Heading: v.title, Name: host(w.URL), Back: p.URL("webhooks", w.ID), Status: webhookStatus(w), Facts: p.webhookFacts(w),
		Does: v.does, Form: f, Button: v.button, Danger: v.danger, Reason: v.reason, Since: v.since,
	}
}

// webhookFacts is what a person should know before doing something to a webhook.
func (p *page) webhookFacts(w openapi.Webhook) []fact {
	facts := []fact{{"URL", w.URL}, {"Events", eventsOf(w.EventTypes)}, {"Waiting", queueLength(w.Queue)}}
	if w.LastAttempt != nil {
		facts = append(facts, fact{"Last attempt", p.Time(w.LastAttempt.At)})
	}
	if w.Description != "" {
		facts = append(facts, fact{"Description", w.Description})
	}
	return facts
}

// queueLength returns how many messages wait.
func queueLength(q openapi.WebhookQueue) string {
	if q.More {
		return "more than " + number(q.Count)
	}
	return number(q.Count)
}

// secretOverlaps are how long the old secret of a webhook may sign as well, in seconds.
var secretOverlaps = []option{
	{"86400", "1 day"}, {"3600", "1 hour"}, {"604800", "7 days"}, {"0", "Not at all: it has leaked"},
}

// secretDoes is what happens when a secret is replaced.
var secretDoes = []string{
	"Messages are signed with a new secret from now on. It is shown once, on the next page.",
	"The old secret signs as well for as long as you choose, so that the receiver can switch at any time.",
	"If it has leaked, choose “Not at all”: every older secret ends at once.",
}

func (p *page) webhookSecretReview(w openapi.Webhook, f *form) connectionReview {
	return connectionReview{
		Heading: "Replace the secret", Name: host(w.URL), Back: p.URL("webhooks", w.ID), Status: webhookStatus(w), Facts: p.webhookFacts(w),
		Does: secretDoes, Form: f, Button: "Replace the secret", Overlaps: secretOverlaps,
	}
}

// webhookSecretPage answers GET /{provider}/webhooks/{webhook}/secret.
func webhookSecretPage(p *page) error {
	w, _, err := p.versionedWebhook()
	if err != nil {
		return err
	}
	return p.show("connection-review", "Replace the secret", p.webhookSecretReview(w, p.onceForm(nil)))
}

// overlap is how long the form wants the old secret to work as well; nil: the form does not say.
func (f *form) overlap() *int {
	if n, err := strconv.Atoi(f.Value("overlap")); err == nil {
		return &n
	}
	return nil
}

// rotateWebhookSecret answers POST /{provider}/webhooks/{webhook}/secret.
func rotateWebhookSecret(p *page) error {
	f, err := p.sent()
	if err != nil {
		return err
	}
	w, _, err := p.versionedWebhook()
	if err != nil {
		return err
	}
	made, err := read[openapi.WebhookSecret](p.API.RotateWebhookSecret(p.ctx(), w.ID,
		&openapi.RotateWebhookSecretParams{IdempotencyKey: f.optional(onceField)}, openapi.SecretRotation{OverlapSeconds: f.overlap()}))
	if earlier := madeEarlier(err); earlier != nil {
		return p.showSpent(p.spentWebhook(earlier))
	}
	if err != nil && f.refuseOnce(err) {
		return p.again(f, "connection-review", "Replace the secret", p.webhookSecretReview(w, f))
	}
	if err != nil {
		return err
	}
	return p.showSecret("The secret is replaced", secretData{
		Label: "Secret that signs its messages", Secret: made.Secret, Name: w.URL, URL: p.URL("webhooks", w.ID),
		Notes: []string{"Give it to the receiver.", p.olderSigns(made)},
	})
}

// olderSigns says how long older secrets sign as well.
func (p *page) olderSigns(made openapi.WebhookSecret) string {
	if made.OlderSignsUntil == nil {
		return "No other secret signs: until the receiver has this one, it refuses every message. Refused messages are tried again."
	}
	return "The older secret signs as well until " + p.Moment(*made.OlderSignsUntil) + " " + p.ZoneName() + "."
}

// callbackSecretPage answers GET /{provider}/webhooks/callback-secret.
func callbackSecretPage(p *page) error {
	data, err := p.callbackReview(p.onceForm(nil))
	if err != nil {
		return err
	}
	return p.show("connection-review", data.Heading, data)
}

// callbackReview is the page before the secret of all callbacks is made or replaced.
func (p *page) callbackReview(f *form) (connectionReview, error) {
	now, err := read[openapi.CallbackSecret](p.API.GetCallbackSecret(p.ctx()))
	if err != nil {
		return connectionReview{}, err
	}
	data := connectionReview{
		Heading: "Replace the callback secret", Name: "Callbacks of orders", Back: p.URL("webhooks"), Status: callbackStatus(now),
		Does: secretDoes, Form: f, Button: "Replace the secret", Overlaps: secretOverlaps,
	}
	if now.CreatedAt != nil {
		data.Facts = append(data.Facts, fact{"Made", p.Time(*now.CreatedAt)})
	}
	if !now.Exists {
		data.Heading, data.Button, data.Overlaps = "Make the callback secret", "Make the secret", nil
		data.Facts = []fact{{"Waiting", plural(now.Held, "message", "messages")}}
		data.Does = []string{
			"Messages to the callback_url of orders are signed with this secret. It is shown once, on the next page.",
			"Messages that wait for it are sent at once: give it to the receivers as soon as you have it.",
		}
	}
	return data, nil
}

// rotateCallbackSecret answers POST /{provider}/webhooks/callback-secret.
func rotateCallbackSecret(p *page) error {
	f, err := p.sent()
	if err != nil {
		return err
	}
	made, err := read[openapi.WebhookSecret](p.API.RotateCallbackSecret(p.ctx(),
		&openapi.RotateCallbackSecretParams{IdempotencyKey: f.optional(onceField)}, openapi.SecretRotation{OverlapSeconds: f.overlap()}))
	if earlier := madeEarlier(err); earlier != nil {
		return p.showSpent(spentData{At: earlier.At, Name: "the callback secret", URL: p.URL("webhooks"),
			Replace: p.URL("webhooks", "callback-secret")})
	}
	if err != nil && f.refuseOnce(err) {
		data, err := p.callbackReview(f)
		if err != nil {
			return err
		}
		return p.again(f, "connection-review", data.Heading, data)
	}
	if err != nil {
		return err
	}
	return p.showSecret("The callback secret is new", secretData{
		Label: "Secret that signs callbacks", Secret: made.Secret, Name: "Callbacks of orders", URL: p.URL("webhooks"),
		Notes: []string{"Give it to the receivers of callbacks.", p.olderSigns(made)},
	})
}
