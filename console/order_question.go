package console

import (
	"net/url"
	"regexp"
	"slices"

	"github.com/oapi-codegen/nullable"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// askedField is a field that an order asks to correct.
type askedField struct {
	Name, Label, Hint, Type string
	Options                 []option // of a list; nil: it is a text
	Optional                bool
}

// questionFields are the fields that an order may ask for, by the field of the order that contains them.
var questionFields = map[string][]askedField{
	"aws_account_alias": {{Name: "aws_account_alias", Hint: "3 to 63 lower-case letters, digits and single hyphens inside"}},
	"iam_user_name":     {{Name: "iam_user_name", Hint: "1 to 64 characters of A-Z a-z 0-9 _ + = , . @ -"}},
	"aws_contact_name":  {{Name: "aws_contact_name", Hint: "1 to 50 characters"}},
	"aws_alternate_contact": {
		{Name: "aws_alternate_contact.name", Hint: "1 to 64 characters"},
		{Name: "aws_alternate_contact.email", Hint: "name@domain.tld", Type: "email"},
		{Name: "aws_alternate_contact.phone", Hint: "1 to 25 digits, spaces and ( ) + -", Type: "tel"},
		{Name: "aws_alternate_contact.title", Hint: "1 to 50 characters"},
	},
	"use_existing_cur": {{Name: "use_existing_cur", Optional: true,
		Hint: "Case-sensitive. Leave it empty for a new report: its usage begins about 24 hours later, and older usage cannot be had."}},
	"existing_cur_kind": {{Name: "existing_cur_kind", Optional: true, Hint: "Which one, if the account has two reports of this name",
		Options: []option{{"", "There is only one"}, {"cur", "Cost and Usage Report (legacy)"}, {"export", "Data Export"}}}},
}

// problemField finds the field in the problem of a step, as provision.Failure writes it.
var problemField = regexp.MustCompile(`^\w+ \(([a-z_.]+)\): `)

// askedFields returns the fields that the order asks for: that of its failure, and those of other steps whose questions are open. It
// returns none if no field helps, or if the person may not correct the order.
func (p *page) askedFields(o openapi.Order) (asked []askedField) {
	if o.State != provision.ActionRequired || o.Failure == nil || !p.May(provision.ScopeOrdersWrite) {
		return nil
	}
	var names []string
	ask := func(field string) {
		for _, name := range provision.AskedFields(provision.Failure{Field: field}) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	if o.Failure.Field != nil {
		ask(*o.Failure.Field)
	}
	for _, s := range o.Steps {
		if s.State != string(provision.StepFailed) || s.Problem == nil {
			continue
		}
		if found := problemField.FindStringSubmatch(*s.Problem); found != nil {
			ask(found[1])
		}
	}
	for _, name := range names {
		for _, field := range questionFields[name] {
			field.Label = fieldLabel(field.Name)
			asked = append(asked, field)
		}
	}
	return asked
}

// fill gives the fields of the form the values that the order has, unless the form has some already.
func (d orderData) fill() {
	for _, field := range d.Asked {
		if _, typed := d.Form.Values[field.Name]; !typed {
			d.Form.Values.Set(field.Name, orderField(d.Order, field.Name))
		}
	}
}

// orderField returns the value of a field of the order.
func orderField(o openapi.Order, name string) string {
	text := func(of *string) string {
		if of == nil {
			return ""
		}
		return *of
	}
	contact := o.AWSAlternateContact
	if contact == nil {
		contact = &openapi.AlternateContact{}
	}
	switch name {
	case "aws_account_alias":
		return o.AWSAccountAlias
	case "iam_user_name":
		return o.IAMUserName
	case "aws_contact_name":
		return o.AWSContactName
	case "use_existing_cur":
		return text(o.UseExistingCUR)
	case "existing_cur_kind":
		if o.ExistingCURKind != nil {
			return string(*o.ExistingCURKind)
		}
	case "aws_alternate_contact.name":
		return contact.Name
	case "aws_alternate_contact.email":
		return contact.Email
	case "aws_alternate_contact.phone":
		return contact.Phone
	case "aws_alternate_contact.title":
		return contact.Title
	}
	return ""
}

// correction returns what the form sends: the fields that it has, and no others.
func (f *form) correction() openapi.OrderCorrection {
	given := func(name string) *string {
		if values, ok := f.Values[name]; ok && len(values) > 0 {
			return &values[0]
		}
		return nil
	}
	c := openapi.OrderCorrection{
		AWSAccountAlias: given("aws_account_alias"), IAMUserName: given("iam_user_name"), AWSContactName: given("aws_contact_name"),
		Reason: given("reason"),
	}
	if name := given("use_existing_cur"); name != nil {
		c.UseExistingCUR = nullable.NewNullNullable[string]()
		if *name != "" {
			c.UseExistingCUR = nullable.NewNullableWithValue(*name)
		}
	}
	if kind := f.optional("existing_cur_kind"); kind != nil {
		c.ExistingCURKind = new(openapi.ExistingCURKind(*kind))
	}
	if given("aws_alternate_contact.name") != nil {
		c.AWSAlternateContact = &openapi.AlternateContact{
			Name: f.Value("aws_alternate_contact.name"), Email: f.Value("aws_alternate_contact.email"),
			Phone: f.Value("aws_alternate_contact.phone"), Title: f.Value("aws_alternate_contact.title"),
		}
	}
	return c
}

// sentValue is a value that was sent to an order that no longer asks for it.
type sentValue struct{ Label, Value string }

// correctOrder answers POST /{provider}/orders/{id}/correct.
func correctOrder(p *page) error {
	f, err := p.sent()
	if err != nil {
		return err
	}
	id := p.r.PathValue("id")
	_, err = read[openapi.Order](p.API.CorrectOrder(p.ctx(), id, f.correction()))
	if err == nil {
		return p.redirect(p.URL("orders", id), "Corrected. The order goes on.")
	}
	if !f.refuse(err, nil) {
		return err
	}
	data, err := p.readOrder()
	if err != nil {
		return err
	}
	data.Form = f
	for _, name := range sentFields(f.Values) {
		if !slices.ContainsFunc(data.Asked, func(asked askedField) bool { return asked.Name == name }) {
			data.Sent = append(data.Sent, sentValue{fieldLabel(name), f.Value(name)})
		}
	}
	if len(data.Sent) > 0 {
		data.Sent = append(data.Sent, sentValue{"Reason", f.Value("reason")})
	}
	return p.showOrder(f.Status, data, "Error: ")
}

// sentFields lists the fields of the order that a form has, in the order in which pages show them.
func sentFields(values url.Values) (names []string) {
	for name := range values {
		if _, is := fieldLabels[name]; is {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// checkedField is what the check of one field found.
type checkedField struct {
	ID       string
	Messages []string
}

// checkOrder answers POST /{provider}/orders/{id}/check: it says what is wrong with the field that was just left. The API checks the
// order as it would be with the form's values, and changes nothing.
func checkOrder(p *page) error {
	f, err := p.sent()
	if err != nil {
		return err
	}
	o, err := read[openapi.Order](p.API.GetOrder(p.ctx(), p.r.PathValue("id")))
	if err != nil {
		return err
	}
	field := p.r.Header.Get("HX-Trigger-Name")
	_, err = read[struct{}](p.API.ValidateOrder(p.ctx(), f.correct(o)))
	if err != nil && !f.refuse(err, nil) {
		return err
	}
	return p.fragment("order", "checked", checkedField{"f-" + field + "-bad", f.Problems(field)})
}

// correct returns the order as it would be placed with the form's values.
func (f *form) correct(o openapi.Order) openapi.NewOrder {
	corrected := openapi.NewOrder{
		ID: o.ID, Marketplace: o.Marketplace, Environment: o.Environment,
		OrderMode: string(provision.OrderModeNewAccount), AccountModel: o.AccountModel,
		UseExistingCUR: o.UseExistingCUR, ExistingCURKind: o.ExistingCURKind, IAMUserName: o.IAMUserName, AWSContactName: o.AWSContactName,
		AWSAlternateContact: o.AWSAlternateContact, AWSAccountAlias: o.AWSAccountAlias,
	}
	c := f.correction()
	if c.UseExistingCUR.IsSpecified() {
		corrected.UseExistingCUR, corrected.ExistingCURKind = f.optional("use_existing_cur"), c.ExistingCURKind
	}
	provision.SetIfGiven(&corrected.IAMUserName, c.IAMUserName)
	provision.SetIfGiven(&corrected.AWSContactName, c.AWSContactName)
	provision.SetIfGiven(&corrected.AWSAccountAlias, c.AWSAccountAlias)
	if c.AWSAlternateContact != nil {
		corrected.AWSAlternateContact = c.AWSAlternateContact
	}
	return corrected
}
