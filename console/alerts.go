package console

import (
	"errors"
	"net/http"
	"slices"

	"golang.org/x/sync/errgroup"

	"quartermaster/api/openapi"
)

// alertsData is what the page of the alerts shows.
type alertsData struct {
	Open   loaded[openapi.StockAlertPage]
	Closed loaded[openapi.StockAlertPage]
	Next   string
	Shown  int
}

// alerts answers GET /{provider}/alerts: what did we miss?
func alerts(p *page) error {
	var (
		data  alertsData
		parts errgroup.Group
	)
	ctx := p.ctx()
	load(&parts, &data.Open, func() (*http.Response, error) {
		return p.API.ListStockAlerts(ctx, &openapi.ListStockAlertsParams{State: new(openapi.Open), Limit: new(mostOpenAlerts)})
	})
	load(&parts, &data.Closed, func() (*http.Response, error) {
		return p.API.ListStockAlerts(ctx, &openapi.ListStockAlertsParams{State: new(openapi.Closed), Limit: new(listLimit), Cursor: p.cursor()})
	})
	_ = parts.Wait() // each part has its own error
	if data.Open.Err != nil && data.Closed.Err != nil {
		return data.Open.Err
	}
	data.Next, data.Shown = p.nextPage(data.Closed.Value.NextCursor), len(data.Closed.Value.Items)
	p.Live = "events"
	return p.show("alerts", "Alerts", data)
}

// mostOpenAlerts is more than any provider has pools, each of which has one open alert at most.
const mostOpenAlerts = 200

// alertData is what the page of an acknowledgment shows.
type alertData struct {
	Alert openapi.StockAlert
	Form  *form
}

// acknowledgePage answers GET /{provider}/alerts/{alert}/acknowledge.
func acknowledgePage(p *page) error {
	alert, err := p.openAlert()
	if err != nil {
		return err
	}
	return p.show("acknowledge", "Acknowledge the alert", alertData{alert, p.newForm(nil)})
}

// openAlert reads the open alert that the address names.
func (p *page) openAlert() (openapi.StockAlert, error) {
	found, err := read[openapi.StockAlertPage](p.API.ListStockAlerts(p.ctx(), &openapi.ListStockAlertsParams{
		State: new(openapi.Open), Limit: new(mostOpenAlerts)}))
	if err != nil {
		return openapi.StockAlert{}, err
	}
	at := slices.IndexFunc(found.Items, func(a openapi.StockAlert) bool { return a.ID == p.r.PathValue("alert") })
	if at < 0 {
		return openapi.StockAlert{}, &problem{status: http.StatusNotFound, title: "The alert is not open",
			detail: "It has closed because the pool is restocked, or there is no such alert. There is nothing to acknowledge."}
	}
	return found.Items[at], nil
}

// acknowledgeAlert answers POST /{provider}/alerts/{alert}/acknowledge.
func acknowledgeAlert(p *page) error {
	f, err := p.sent()
	if err != nil {
		return err
	}
	id, note := p.r.PathValue("alert"), f.Value("note")
	if _, err = read[openapi.StockAlert](p.API.AcknowledgeStockAlert(p.ctx(), id, openapi.Acknowledgement{Note: note})); err != nil {
		if refused, ok := errors.AsType[*openapi.Problem](err); ok && refused.Status == http.StatusConflict {
			return p.redirect(p.URL("alerts"), "The alert has closed in the meantime: the pool is restocked.")
		}
		if !f.refuse(err, nil) {
			return err
		}
		alert, err := p.openAlert()
		if err != nil {
			return err
		}
		return p.again(f, "acknowledge", "Acknowledge the alert", alertData{alert, f})
	}
	return p.redirect(p.URL("alerts"), "The alert is acknowledged. It sends no more reminders unless it gets worse.")
}
