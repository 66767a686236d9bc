package console

import (
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/sync/errgroup"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// webhookRoutes are the pages of webhooks.
func webhookRoutes(with func(scope provision.Scope, pattern string, handle handler)) {
	with(provision.ScopeWebhooksRead, "GET /{provider}/webhooks", webhooks)
	with(provision.ScopeWebhooksWrite, "GET /{provider}/webhooks/new", fresh(newWebhook))
	with(provision.ScopeWebhooksWrite, "POST /{provider}/webhooks/new", fresh(createWebhook))
	with(provision.ScopeWebhooksWrite, "GET /{provider}/webhooks/callback-secret", fresh(callbackSecretPage))
	with(provision.ScopeWebhooksWrite, "POST /{provider}/webhooks/callback-secret", fresh(rotateCallbackSecret))
	with(provision.ScopeWebhooksRead, "GET /{provider}/webhooks/{webhook}", webhook)
	with(provision.ScopeWebhooksWrite, "GET /{provider}/webhooks/{webhook}/edit", editWebhook)
	with(provision.ScopeWebhooksWrite, "POST /{provider}/webhooks/{webhook}/edit", updateWebhook)
	with(provision.ScopeWebhooksWrite, "GET /{provider}/webhooks/{webhook}/secret", fresh(webhookSecretPage))
	with(provision.ScopeWebhooksWrite, "POST /{provider}/webhooks/{webhook}/secret", fresh(rotateWebhookSecret))
	for _, v := range webhookVerbs {
		with(provision.ScopeWebhooksWrite, "GET /{provider}/webhooks/{webhook}/"+v.name, v.review)
		with(provision.ScopeWebhooksWrite, "POST /{provider}/webhooks/{webhook}/"+v.name, v.act)
	}
	with(provision.ScopeWebhooksWrite, "GET /{provider}/webhooks/{webhook}/test", webhook)
	with(provision.ScopeWebhooksWrite, "POST /{provider}/webhooks/{webhook}/test", testWebhook)
	with(provision.ScopeWebhooksRead, "GET /{provider}/webhooks/{webhook}/deliveries/{delivery}", delivery)
	with(provision.ScopeWebhooksWrite, "GET /{provider}/webhooks/{webhook}/deliveries/{delivery}/resend", delivery)
	with(provision.ScopeWebhooksWrite, "POST /{provider}/webhooks/{webhook}/deliveries/{delivery}/resend", resend)
}

// webhooksEvery is after how many seconds the pages of webhooks are read again.
const webhooksEvery = "10"

// webhooksData is what the list of webhooks shows.
type webhooksData struct {
	Found     openapi.WebhookPage
	Callbacks loaded[openapi.CallbackSecret]
	Next      string
}

// webhooks answers GET /{provider}/webhooks: do messages arrive?
func webhooks(p *page) error {
	var (
		data  webhooksData
		parts errgroup.Group
		err   error
	)
	load(&parts, &data.Callbacks, func() (*http.Response, error) { return p.API.GetCallbackSecret(p.ctx()) })
	data.Found, err = read[openapi.WebhookPage](p.API.ListWebhooks(p.ctx(),
		&openapi.ListWebhooksParams{Limit: new(listLimit), Cursor: p.cursor()}))
	_ = parts.Wait() // each part has its own error
	if err != nil {
		return err
	}
	data.Next = p.nextPage(data.Found.NextCursor)
	p.Live = webhooksEvery
	return p.show("webhooks", "Webhooks", data)
}

// webhookData is what the page of a webhook shows.
type webhookData struct {
	Webhook    openapi.Webhook
	Deliveries loaded[openapi.DeliveryPage]
	States     []deliveryTab
	Next       string
}

// deliveryTab is a filter of the deliveries.
type deliveryTab struct {
	Name, URL string
	Current   bool
}

// States of deliveries, as the tabs name them.
var deliveryTabs = []struct {
	name  string
	state provision.DeliveryState
}{{"All", ""}, {"Waiting", provision.DeliveryPending}, {"Failed", provision.DeliveryFailed}, {"Delivered", provision.DeliveryDelivered}}

// webhook answers GET /{provider}/webhooks/{webhook}.
func webhook(p *page) error {
	var (
		data  webhookData
		parts errgroup.Group
		err   error
	)
	id, state := p.r.PathValue("webhook"), provision.DeliveryState(p.Query("state"))
	load(&parts, &data.Deliveries, func() (*http.Response, error) {
		params := &openapi.ListDeliveriesParams{Limit: new(listLimit), Cursor: p.cursor()}
		if state != "" {
			params.State = &state
		}
		return p.API.ListDeliveries(p.ctx(), id, params)
	})
	data.Webhook, err = read[openapi.Webhook](p.API.GetWebhook(p.ctx(), id))
	_ = parts.Wait() // each part has its own error
	if err != nil {
		return err
	}
	at := p.URL("webhooks", id)
	for _, t := range deliveryTabs {
		tab := deliveryTab{Name: t.name, URL: at, Current: t.state == state}
		if t.state != "" {
			tab.URL += "?state=" + string(t.state)
		}
		data.States = append(data.States, tab)
	}
	data.Next = p.nextPage(data.Deliveries.Value.NextCursor)
	p.Live = webhooksEvery
	return p.show("webhook", host(data.Webhook.URL), data)
}

// Callback reports whether the webhook is the callback_url of orders.
func (d webhookData) Callback() bool { return isCallback(d.Webhook) }

// DisabledBy is who disabled the webhook; empty: no one did.
func (d webhookData) DisabledBy() string {
	switch by := d.Webhook.DisabledBy; {
	case by == nil:
		return ""
	case *by == byDeliveries:
		return "Quartermaster"
	default:
		return *by
	}
}

func isCallback(w openapi.Webhook) bool { return w.Kind == provision.WebhookCallback }

// deliveryData is what the page of a delivery shows.
type deliveryData struct {
	Webhook  openapi.Webhook
	Delivery openapi.Delivery
	Attempts []openapi.DeliveryAttempt // the newest first
}

// Every is after how many seconds the page of a message that is being sent is read again; empty: as the other pages of webhooks.
func (d deliveryData) Every() string {
	if d.Delivery.State == provision.DeliveryPending && d.Webhook.Enabled {
		return "2"
	}
	return ""
}

// delivery answers GET /{provider}/webhooks/{webhook}/deliveries/{delivery}.
func delivery(p *page) error {
	id := p.r.PathValue("webhook")
	found, err := read[openapi.DeliveryWithAttempts](p.API.GetDelivery(p.ctx(), id, p.r.PathValue("delivery")))
	if err != nil {
		return err
	}
	data := deliveryData{Delivery: found.Delivery}
	for i := range found.Attempts {
		data.Attempts = append(data.Attempts, found.Attempts[len(found.Attempts)-1-i])
	}
	if data.Webhook, err = read[openapi.Webhook](p.API.GetWebhook(p.ctx(), id)); err != nil {
		return err
	}
	p.Live = webhooksEvery
	return p.show("delivery", found.Delivery.EventType, data)
}

// testWebhook answers POST /{provider}/webhooks/{webhook}/test, and leads to what comes of it.
func testWebhook(p *page) error {
	id := p.r.PathValue("webhook")
	sent, err := read[openapi.Delivery](p.API.TestWebhook(p.ctx(), id))
	if err != nil {
		return err
	}
	return p.redirect(p.URL("webhooks", id, "deliveries", sent.ID), "The test message is on its way. The receiver's answer appears below.")
}

// resend answers POST /{provider}/webhooks/{webhook}/deliveries/{delivery}/resend.
func resend(p *page) error {
	id := p.r.PathValue("webhook")
	sent, err := read[openapi.Delivery](p.API.ResendDelivery(p.ctx(), id, p.r.PathValue("delivery")))
	if err != nil {
		return err
	}
	return p.redirect(p.URL("webhooks", id, "deliveries", sent.ID), "The message is being sent again.")
}

// host returns the host of a URL, for headings; the URL itself if it has none.
func host(text string) string {
	if at, err := url.Parse(text); err == nil && at.Host != "" {
		return at.Host
	}
	return text
}

// pathOf returns what follows the host in a URL.
func pathOf(text string) string {
	_, rest, _ := strings.Cut(text, host(text))
	return rest
}

// isOfOrder reports whether events of that type are about orders.
func isOfOrder(eventType string) bool { return strings.HasPrefix(eventType, "order.") }

// eventsOf says in a line which events a webhook receives.
func eventsOf(types []string) string {
	if len(types) == 0 {
		return "All events"
	}
	return strings.Join(types, ", ")
}
