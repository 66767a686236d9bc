package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// orderData is what the page of an order shows.
type orderData struct {
	Order   openapi.Order
	Work    []accountWork
	History loaded[openapi.OrderHistoryPage] // the newest first

	Form  *form        // answers the question
	Asked []askedField // that the order asks for; empty: no field helps
	Verbs []orderVerb  // that role and state allow
	Sent  []sentValue  // what was sent to an order that had changed by then
}

// order answers GET /{provider}/orders/{id}: what is happening, what does it want, what did it give? It also answers the addresses of
// its forms, which lead here when they are opened.
func order(p *page) error {
	data, err := p.readOrder()
	if err != nil {
		return err
	}
	data.Form = p.newForm(url.Values{})
	data.fill()
	return p.showOrder(http.StatusOK, data, "")
}

// showOrder answers with the page of an order, whose title is its id and its state.
func (p *page) showOrder(code int, data orderData, prefix string) error {
	p.Live, p.Order = "events", data.Order.ID
	return p.showStatus(code, "order", prefix+data.Order.ID+", "+orderStatus(data.Order.State).Word, data)
}

// readOrder reads the order of the address, and its history.
func (p *page) readOrder() (data orderData, err error) {
	var parts errgroup.Group
	id := p.r.PathValue("id")
	load(&parts, &data.History, func() (*http.Response, error) {
		return p.API.ListOrderHistory(p.ctx(), id, &openapi.ListOrderHistoryParams{Limit: new(200)})
	})
	parts.Go(func() (err error) {
		data.Order, err = read[openapi.Order](p.API.GetOrder(p.ctx(), id))
		return err
	})
	if err := parts.Wait(); err != nil {
		return data, err
	}
	slices.Reverse(data.History.Value.Items)
	data.Work = work(data.Order, p.Now)
	data.Asked = p.askedFields(data.Order)
	for _, v := range orderVerbs {
		if p.May(v.scope) && v.Can(data.Order) {
			data.Verbs = append(data.Verbs, v)
		}
	}
	return data, nil
}

// Verb returns the verb with that name, if role and state allow it.
func (d orderData) Verb(name string) *orderVerb {
	if i := slices.IndexFunc(d.Verbs, func(v orderVerb) bool { return v.Name == name }); i >= 0 {
		return &d.Verbs[i]
	}
	return nil
}

// WaysOut are the verbs that are not part of the order's question.
func (d orderData) WaysOut() []orderVerb {
	inQuestion := d.Order.State == provision.ActionRequired && len(d.Asked) == 0
	return slices.DeleteFunc(slices.Clone(d.Verbs), func(v orderVerb) bool {
		return v.Name == "password" || v.Name == "retry" && inQuestion
	})
}

// Every is how often the page reads itself: steps are no events, so a running order is read every 2 seconds, and one that waits
// every 10, because its place in the queue is no event either. Empty: events say it all.
func (d orderData) Every() string {
	switch d.Order.State {
	case provision.Accepted, provision.Provisioning, provision.Compensating:
		return "2"
	case provision.WaitingForAccount:
		return "10"
	case provision.Completed:
		if password := d.Order.Result.Password; password != nil && password.SettingSince != nil {
			return "2"
		}
	}
	return ""
}

// Version changes when what the question asks for changes.
func (d orderData) Version() string {
	version := string(d.Order.State) + d.Order.Since.UTC().Format("20060102T150405.000000")
	for _, field := range d.Asked {
		version += " " + field.Name
	}
	return version
}

// Ticked is how many manual steps are done.
func (d orderData) Ticked() int { return ticked(d.Order.Result.Checklist) }

// Text is the result as a text to send to the customer, without the link to the password.
func (d orderData) Text() string {
	r := d.Order.Result
	lines := []string{
		"AWS account: " + r.AccountID + " (" + r.Model + ")",
		"Sign in: " + r.SignInURL,
		"If the alias changes: " + r.SignInURLByID,
		"IAM user: " + r.IAMUserName,
		"Cost report: " + r.Report.Name + ", s3://" + r.Report.Bucket + "/" + r.Report.Prefix + ", " + r.Report.Region,
		"Usage from: " + r.UsageAvailableFrom.UTC().Format("2 Jan 2006 15:04") + " UTC",
	}
	for _, more := range []*string{r.RootAccess, r.Instructions} {
		if more != nil {
			lines = append(lines, "", *more)
		}
	}
	return strings.Join(lines, "\n")
}

// Absolute returns the address with the host, so that people can send it to each other.
func (p *page) Absolute(path string) string {
	public, err := url.Parse(p.console.PublicURL)
	if err != nil {
		return path // New has parsed it
	}
	return public.Scheme + "://" + public.Host + path
}
