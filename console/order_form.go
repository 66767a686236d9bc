package console

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// orderFormData is what the walk-through of a new order shows.
type orderFormData struct {
	Form      *form
	Offer     openapi.OrderForm
	Customers []provision.Customer // of recent orders, to choose from
	Taken     string               // the id of another order, which the form had; empty: none
	Stock     stockNote
}

// The steps of the walk-through, which the buttons of its forms name.
const (
	stepCheck  = "check"  // a field was left: only that field is checked
	stepReview = "review" // the whole form is checked, and shown again before it is sent
	stepChange = "change" // back from the review
	stepBuy    = "buy"
)

// Values of the choices in the form.
const (
	customerExisting = "existing"
	customerNew      = "new"
	customerNone     = "none"
	reportNew        = "new"
	reportExisting   = "existing"
)

// madeHere begins the ids that the form makes.
const madeHere = "QM-"

// newOrder answers GET /{provider}/orders/new with an empty form. The id of the order is made with the form: anyone who sends the form
// twice buys once.
func newOrder(p *page) error {
	offer, err := read[openapi.OrderForm](p.API.GetOrderForm(p.ctx()))
	if err != nil {
		return err
	}
	f := p.newForm(url.Values{
		"order_id": {p.newOrderID()}, "customer_kind": {customerExisting}, "report": {reportNew}, "pool": {onlyPool(offer)},
	})
	return p.showOrderForm(http.StatusOK, "Place an order", orderFormData{Form: f, Offer: offer})
}

// newOrderID makes an id for an order: the day, and what no other order has.
func (p *page) newOrderID() string {
	return madeHere + p.Now.UTC().Format("20060102") + "-" + rand.Text()[:8]
}

// onlyPool chooses the pool if there is but one.
func onlyPool(offer openapi.OrderForm) string {
	if len(offer.Pools) != 1 {
		return ""
	}
	return poolName(offer.Pools[0].Marketplace, offer.Pools[0].Environment)
}

// poolName names a pool in one word, as the form sends it.
func poolName(marketplace string, environment provision.Environment) string {
	return marketplace + "/" + string(environment)
}

// showOrderForm shows the form, with the customers of recent orders to choose from.
func (p *page) showOrderForm(status int, title string, data orderFormData) error {
	data.Stock = stockOf(data.Offer, data.Form)
	recent, err := read[openapi.OrderPage](p.API.ListOrders(p.ctx(), &openapi.ListOrdersParams{Limit: new(100)}))
	if err == nil { // without it, people type the id
		data.Customers = customersOf(recent)
	}
	return p.showStatus(status, "order-new", title, data)
}

// customersOf lists the customers of the orders, by name, each once.
func customersOf(orders openapi.OrderPage) (found []provision.Customer) {
	for _, order := range orders.Items {
		if order.Customer != nil && !slices.ContainsFunc(found, func(c provision.Customer) bool { return c.ID == order.Customer.ID }) {
			found = append(found, *order.Customer)
		}
	}
	slices.SortFunc(found, func(a, b provision.Customer) int { return strings.Compare(a.Name, b.Name) })
	return found
}

// placeOrder answers POST /{provider}/orders/new: it checks the form, shows what will be bought, and buys it.
func placeOrder(p *page) error {
	f, err := p.sent()
	if err != nil {
		return err
	}
	for _, values := range f.Values {
		for i := range values {
			values[i] = strings.TrimSpace(values[i]) // what a copy brings along
		}
	}
	offer, err := read[openapi.OrderForm](p.API.GetOrderForm(p.ctx()))
	if err != nil {
		return err
	}
	data := orderFormData{Form: f, Offer: offer}
	step := f.Value("step")
	if step == stepChange {
		return p.showOrderForm(http.StatusOK, "Place an order", data)
	}
	order, err := p.orderOf(f)
	if err != nil {
		return err
	}
	if step == stepBuy && len(f.Listed) == 0 {
		return p.buy(order, data)
	}
	if err := p.check(order, f); err != nil {
		return err
	}
	if step == stepCheck {
		return p.checked(data)
	}
	if len(f.Listed) > 0 || f.Refused != "" {
		return p.orderRefused(data)
	}
	return p.showReview(http.StatusOK, order, data, nil)
}

// check asks the API what is wrong with the order, without placing it.
func (p *page) check(order openapi.NewOrder, f *form) error {
	_, err := read[struct{}](p.API.ValidateOrder(p.ctx(), order))
	if err != nil && !refuseOrder(f, err) {
		return err
	}
	return nil
}

// refuseOrder records the API's refusal in the form. A pool, which is two fields of the API, is wrong once.
func refuseOrder(f *form, err error) bool {
	refused, poolIsWrong := f.refuse(err, orderFields), false
	f.Listed = slices.DeleteFunc(f.Listed, func(m fieldMessage) bool {
		repeated := poolIsWrong && m.Field == "pool"
		poolIsWrong = poolIsWrong || m.Field == "pool"
		return repeated
	})
	return refused
}

// orderFields are the fields of the form whose names differ from those of the API.
var orderFields = map[string]string{"id": "order_id", "marketplace": "pool", "environment": "pool", "customer": "customer.id"}

// orderLabels are the labels of the form's fields.
var orderLabels = map[string]string{
	"order_id": "Order id", "account_model": "Model", "customer.id": "Customer id", "customer.name": "Customer name",
	"use_existing_cur": "Use Existing CUR", "existing_cur_kind": "Which report", "iam_user_name": "IAM User Name",
	"aws_account_alias": "AWS Account Alias", "aws_contact_name": "AWS Contact Name", "aws_alternate_contact": "AWS Alternate Contact",
	"aws_alternate_contact.name": "AWS Alternate Contact Name", "aws_alternate_contact.email": "AWS Alternate Contact Email",
	"aws_alternate_contact.phone": "AWS Alternate Contact Phone", "aws_alternate_contact.title": "AWS Alternate Contact Title",
}

// orderRefused shows the form again with everything that is wrong with it.
func (p *page) orderRefused(data orderFormData) error {
	f := data.Form
	f.Labels = orderLabels
	if f.Status == 0 || f.Status == http.StatusUnprocessableEntity { // the API does not count what only the form knows
		f.Status, f.Refused = http.StatusUnprocessableEntity, plural(len(f.Listed), "field is invalid", "fields are invalid")
	}
	return p.showOrderForm(f.Status, "Error: Place an order", data)
}

// buy places the order. The answer of a repeat is the same order.
func (p *page) buy(order openapi.NewOrder, data orderFormData) error {
	placed, err := read[openapi.Order](p.API.CreateOrder(p.ctx(), order))
	if err == nil {
		return p.redirect(p.URL("orders", placed.ID), "The order "+placed.ID+" is placed.")
	}
	f := data.Form
	switch refused := problemOf(err); {
	case refused.retry:
		return p.showReview(refused.status, order, data, refused)
	case !refuseOrder(f, err):
		return err
	}
	if f.Status == http.StatusConflict {
		data.Taken = order.ID
		if strings.HasPrefix(order.ID, madeHere) {
			f.Values.Set("order_id", p.newOrderID())
		}
	}
	return p.orderRefused(data)
}

// orderOf returns the order that the form describes. It lists what is wrong with the customer, which the API cannot know.
func (p *page) orderOf(f *form) (openapi.NewOrder, error) {
	marketplace, environment, _ := strings.Cut(f.Value("pool"), "/")
	order := openapi.NewOrder{
		ID: f.Value("order_id"), Marketplace: marketplace, Environment: provision.Environment(environment),
		OrderMode: provision.OrderModeNewAccount, IAMUserName: f.Value("iam_user_name"), AWSContactName: f.Value("aws_contact_name"),
		AWSAccountAlias: f.Value("aws_account_alias"),
	}
	if f.Value("pool") == "" {
		f.Listed = append(f.Listed, fieldMessage{"pool", "Choose a pool."})
	}
	if model := f.Value("account_model"); model != "" {
		order.AccountModel = new(provision.Model(model))
	}
	if f.Value("report") == reportExisting {
		order.UseExistingCUR = new(f.Value("use_existing_cur"))
		if kind := f.Value("existing_cur_kind"); kind != "" {
			order.ExistingCURKind = new(provision.ReportKind(kind))
		}
	}
	const alternate = "aws_alternate_contact."
	contact := provision.AlternateContact{
		Name: f.Value(alternate + "name"), Email: f.Value(alternate + "email"), Phone: f.Value(alternate + "phone"),
		Title: f.Value(alternate + "title"),
	}
	if contact != (provision.AlternateContact{}) {
		order.AWSAlternateContact = &contact
	}
	switch f.Value("customer_kind") {
	case customerNew:
		order.Customer = &provision.Customer{ID: f.Value("customer.id"), Name: f.Value("customer.name")}
	case customerExisting:
		known, err := p.customer(f)
		if err != nil {
			return order, err
		}
		order.Customer = known
	}
	return order, nil
}

// customer finds the customer whom the form names among those of earlier orders.
func (p *page) customer(f *form) (*provision.Customer, error) {
	id := f.Value("customer.id")
	wrong := func(message string) (*provision.Customer, error) {
		f.Listed = append(f.Listed, fieldMessage{"customer.id", message})
		return nil, nil //nolint:nilnil // the form says what is wrong
	}
	if id == "" {
		return wrong(`Enter the customer's id, or choose "none".`)
	}
	found, err := read[openapi.OrderPage](p.API.ListOrders(p.ctx(), &openapi.ListOrdersParams{CustomerID: &id, Limit: new(10)}))
	refused, ok := errors.AsType[*openapi.Problem](err)
	switch {
	case ok && refused.Status == http.StatusBadRequest && len(listed(refused.Errors)) > 0:
		return wrong(listed(refused.Errors)[0].Message)
	case err != nil:
		return nil, err
	}
	for _, order := range found.Items {
		if order.Customer != nil {
			return order.Customer, nil
		}
	}
	return wrong(`No order of customer "` + id + `" is known here: correct the id, or choose "new" and enter the name.`)
}

// checked answers the script, which sends the form when a field is left: with what is wrong with that field, and with how many
// accounts are Ready.
func (p *page) checked(data orderFormData) error {
	name := p.r.Header.Get("HX-Trigger-Name")
	return p.fragment("order-new", "checked", map[string]any{
		"Name": name, "Problems": data.Form.Problems(name), "Stock": stockOf(data.Offer, data.Form),
	})
}

// reviewData is what the page before the purchase shows.
type reviewData struct {
	orderFormData
	Order   openapi.NewOrder
	Model   *openapi.OrderFormModel // nil: any
	Problem *problem                // why it is not known whether the order was placed
	SignIn  string
	Sent    []keptField
}

// RootLater reports whether the customer gets the root user: "yes", "no", or "maybe" if the order takes any model.
func (d reviewData) RootLater() string {
	switch owns := func(m openapi.OrderFormModel) bool { return m.CustomerOwnsRoot }; {
	case d.Model != nil && owns(*d.Model):
		return "yes"
	case d.Model == nil && slices.ContainsFunc(d.Offer.Models, owns):
		return "maybe"
	}
	return "no"
}

func (p *page) showReview(status int, order openapi.NewOrder, data orderFormData, unsure *problem) error {
	review := reviewData{orderFormData: data, Order: order, Problem: unsure, SignIn: provision.SignInURL(order.AWSAccountAlias)}
	review.Stock = stockOf(data.Offer, data.Form)
	if order.AccountModel != nil {
		if i := slices.IndexFunc(data.Offer.Models, func(m openapi.OrderFormModel) bool { return m.ID == *order.AccountModel }); i >= 0 {
			review.Model = &data.Offer.Models[i]
		}
	}
	for name, values := range data.Form.Values {
		for _, value := range values {
			if name != "step" {
				review.Sent = append(review.Sent, keptField{name, value})
			}
		}
	}
	slices.SortStableFunc(review.Sent, func(a, b keptField) int { return strings.Compare(a.Name, b.Name) })
	return p.showStatus(status, "order-review", "Review the order", review)
}

// stockNote says whether the order gets an account at once.
type stockNote struct {
	Status status
	Text   string
}

// stockOf says how many accounts are Ready for the pool and model of the form.
func stockOf(offer openapi.OrderForm, f *form) stockNote {
	at := slices.IndexFunc(offer.Pools, func(o openapi.OrderFormPool) bool {
		return poolName(o.Marketplace, o.Environment) == f.Value("pool")
	})
	if at < 0 {
		return stockNote{}
	}
	pool, model := offer.Pools[at], f.Value("account_model")
	ready, what := pool.Ready, "account"
	if model != "" {
		ready, what = pool.ReadyByModel[model], model+" account"
	}
	place := number(pool.OrdersWaiting + 1)
	switch {
	case pool.Suspended:
		return stockNote{status{"Suspended", "bad", "bad"},
			"Orders get no account of this pool at present. This order waits as number " + place + "."}
	case ready == 0:
		return stockNote{status{"None Ready", "wait", "calm"}, "This order waits as number " + place + ", and goes on when accounts are added."}
	}
	return stockNote{status{plural(ready, what+" Ready", what+"s Ready"), "good", "good"}, "The order takes the oldest of them at once."}
}

// Pools are the pools to choose from.
func (d orderFormData) Pools() []option {
	options := make([]option, 0, len(d.Offer.Pools)+1)
	if len(d.Offer.Pools) != 1 {
		options = append(options, option{"", "Choose a pool"})
	}
	for _, pool := range d.Offer.Pools {
		ready := plural(pool.Ready, "Ready", "Ready")
		if pool.Ready == 0 {
			ready = "none Ready"
		}
		options = append(options, option{poolName(pool.Marketplace, pool.Environment),
			pool.Marketplace + " / " + string(pool.Environment) + ": " + ready})
	}
	return options
}

// Models are the account models to choose from.
func (d orderFormData) Models() []option {
	options := []option{{"", "any: the oldest account"}}
	for _, model := range d.Offer.Models {
		options = append(options, option{string(model.ID), string(model.ID) + ": " + model.Title})
	}
	return options
}

// ReportKinds are the kinds of existing reports to choose from.
func (orderFormData) ReportKinds() []option {
	return []option{
		{"", "the only one"}, {string(provision.LegacyCUR), "Cost and Usage Report (legacy)"}, {string(provision.DataExport), "Data Export"},
	}
}
