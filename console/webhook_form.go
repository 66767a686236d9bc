package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/oapi-codegen/nullable"

	"quartermaster/api/openapi"
)

// eventFamily is a group of events in the form of a webhook.
type eventFamily struct {
	Name, Label string
	Types       []option
}

// eventFamilies are the events that a webhook can receive, in the words of the API's document. A test compares them with it.
var eventFamilies = []eventFamily{
	{"order.*", "Orders", []option{
		{"order.accepted", "stored"}, {"order.waiting_for_account", "waits for an account"}, {"order.provisioning", "in progress"},
		{"order.action_required", "asks a question"}, {"order.compensating", "being undone"}, {"order.completed", "completed"},
		{"order.failed", "failed"}, {"order.cancelled", "cancelled"}, {"order.password_issued", "a new password was set"}}},
	{"stock.*", "Stock alerts", []option{
		{"stock.low", "few accounts are Ready"}, {"stock.empty", "none is Ready, or an order waits"},
		{"stock.reminder", "an alert is still open"}, {"stock.acknowledged", "someone takes care of it"},
		{"stock.restocked", "an alert has closed"}}},
	{"pool.*", "Pools", []option{
		{"pool.verification_suspended", "verification fails for many accounts"}, {"pool.verification_resumed", "verification works again"},
		{"pool.claims_suspended", "orders get no account"}, {"pool.claims_resumed", "orders get accounts again"}}},
	{"account_import.*", "Imports", []option{{"account_import.completed", "every row has an outcome"}}},
	{"webhook.*", "Webhooks", []option{
		{"webhook.disabled", "a receiver does not accept messages"}, {"webhook.test", "someone asked for a test"}}},
}

// webhookForm is what the form of a webhook shows.
type webhookForm struct {
	Form         *form
	Webhook      *openapi.Webhook // nil: it is a new one
	Families     []eventFamily
	Others       []option // chosen events that this version does not know
	Marketplaces []option // nil: they must be typed
	Conflict     []change
}

// Detailed reports whether single types of events are chosen.
func (d webhookForm) Detailed() bool {
	return slices.ContainsFunc(d.Form.Values["event_types"], func(name string) bool { return !strings.HasSuffix(name, ".*") })
}

func (p *page) webhookForm(f *form, of *openapi.Webhook) webhookForm {
	data := webhookForm{Form: f, Webhook: of, Families: eventFamilies, Marketplaces: p.marketplaces(f.several("marketplaces"))}
	for _, name := range f.Values["event_types"] {
		if !slices.ContainsFunc(eventFamilies, func(family eventFamily) bool {
			return family.Name == name || slices.ContainsFunc(family.Types, func(o option) bool { return o.Value == name })
		}) {
			data.Others = append(data.Others, option{name, name})
		}
	}
	return data
}

// newWebhook answers GET /{provider}/webhooks/new.
func newWebhook(p *page) error {
	return p.show("webhook-form", "Make a webhook", p.webhookForm(p.onceForm(nil), nil))
}

// createWebhook answers POST /{provider}/webhooks/new.
func createWebhook(p *page) error {
	f, err := p.sent()
	if err != nil {
		return err
	}
	made, err := read[openapi.WebhookWithSecret](p.API.CreateWebhook(p.ctx(),
		&openapi.CreateWebhookParams{IdempotencyKey: f.optional(onceField)}, openapi.NewWebhook{
			URL: strings.TrimSpace(f.Value("url")), Description: f.optional("description"),
			EventTypes: pointer(f.several("event_types")), Marketplaces: pointer(f.several("marketplaces")),
		}))
	if earlier := madeEarlier(err); earlier != nil {
		return p.showSpent(p.spentWebhook(earlier))
	}
	if err != nil && f.refuseOnce(err) {
		return p.again(f, "webhook-form", "Make a webhook", p.webhookForm(f, nil))
	}
	if err != nil {
		return err
	}
	return p.showSecret("The webhook is made", secretData{
		Label: "Secret that signs its messages", Secret: made.Secret, Name: made.Webhook.URL, URL: p.URL("webhooks", made.Webhook.ID),
		Notes: []string{
			"Give it to the receiver, which checks the signature of each message with it.",
			"Then send a test from the webhook's page: it shows the receiver's answer.",
		},
	})
}

// spentWebhook says which webhook an earlier form made, or whose secret it replaced.
func (p *page) spentWebhook(earlier *openapi.EarlierRequest) spentData {
	return spentData{At: earlier.At, Name: "webhook " + earlier.ID, URL: p.URL("webhooks", earlier.ID),
		Replace: p.URL("webhooks", earlier.ID, "secret")}
}

// webhookValues are the fields of the form of a webhook.
func webhookValues(w openapi.Webhook, version string) url.Values {
	return url.Values{"url": {w.URL}, "description": {w.Description}, "event_types": w.EventTypes,
		"marketplaces": listed(w.Marketplaces), "version": {version}}
}

// versionedWebhook reads the webhook of the address, with its version.
func (p *page) versionedWebhook() (openapi.Webhook, string, error) {
	return readVersion[openapi.Webhook](p.API.GetWebhook(p.ctx(), p.r.PathValue("webhook")))
}

// editWebhook answers GET /{provider}/webhooks/{webhook}/edit.
func editWebhook(p *page) error {
	w, version, err := p.versionedWebhook()
	if err != nil {
		return err
	}
	return p.show("webhook-form", "Edit "+host(w.URL), p.webhookForm(p.newForm(webhookValues(w, version)), &w))
}

// updateWebhook answers POST /{provider}/webhooks/{webhook}/edit.
func updateWebhook(p *page) error {
	f, err := p.sent()
	if err != nil {
		return err
	}
	w, version, err := p.versionedWebhook()
	if err != nil {
		return err
	}
	change := openapi.WebhookUpdate{URL: new(strings.TrimSpace(f.Value("url"))), Description: new(f.Value("description")),
		EventTypes: new(append([]string{}, f.several("event_types")...)), Marketplaces: nullable.NewNullNullable[[]string]()}
	if only := f.several("marketplaces"); len(only) > 0 {
		change.Marketplaces.Set(only)
	}
	_, err = read[openapi.Webhook](p.API.UpdateWebhook(p.ctx(), w.ID, &openapi.UpdateWebhookParams{IfMatch: f.optional("version")}, change))
	if err != nil && f.refuse(err, nil) {
		f.gather()
		data := p.webhookForm(f, &w)
		if f.Status == http.StatusPreconditionFailed {
			f.Refused = "Someone changed this webhook after you opened the form. Nothing was changed. Compare, and save again."
			f.Values.Set("version", version)
			data.Conflict = differences(webhookValues(w, version), f.Values)
		}
		return p.again(f, "webhook-form", "Edit "+host(w.URL), data)
	}
	if err != nil {
		return err
	}
	return p.redirect(p.URL("webhooks", w.ID), "The webhook is changed.")
}

// differences are the fields in which a webhook differs from what was sent.
func differences(now, sent url.Values) (differ []change) {
	for _, field := range []struct{ name, label string }{
		{"url", "URL"}, {"description", "Description"}, {"event_types", "Events"}, {"marketplaces", "Marketplaces"},
	} {
		is, wanted := inAnyOrder(now[field.name]), inAnyOrder(sent[field.name])
		if is != wanted {
			differ = append(differ, change{field.label, is, wanted})
		}
	}
	return differ
}

// inAnyOrder returns the values of a field, so that the same ones give the same text.
func inAnyOrder(values []string) string {
	return strings.Join(slices.Sorted(slices.Values(values)), ", ")
}
