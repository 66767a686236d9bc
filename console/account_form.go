package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// accountFormData is what the form of an account shows.
type accountFormData struct {
	Form     *form
	Account  *openapi.Account // nil: the account is new
	Pools    []option
	Models   []string
	Conflict []change
}

// accountFields are the fields of an account that can be edited, with their labels.
var accountFields = []struct{ name, label string }{
	{"name", "Name"}, {"model", "Model"}, {"root_email", "Root e-mail"}, {"role_arn", "Role"},
}

// newAccount answers GET /{provider}/accounts/new.
func newAccount(p *page) error {
	f := p.newForm(url.Values{"model": {string(provision.ModelSPAM)}})
	if f.Value("pool") == "" {
		f.Values.Set("pool", poolValue(p.Query("marketplace"), p.Query("environment"), ""))
	}
	return p.showNewAccount(f)
}

func (p *page) showNewAccount(f *form) error {
	stock, err := read[openapi.Stock](p.API.GetStock(p.ctx(), &openapi.GetStockParams{}))
	if err != nil {
		return err
	}
	data := accountFormData{Form: f, Pools: poolOptions(stock)[1:], Models: modelsOf(stock)}
	if f.Refused != "" {
		return p.again(f, "account-form", "Add an account", data)
	}
	return p.show("account-form", "Add an account", data)
}

// createAccount answers POST /{provider}/accounts/new.
func createAccount(p *page) error {
	f, err := p.sent()
	if err != nil {
		return err
	}
	marketplace, environment := splitPool(f.Value("pool"))
	made, err := read[openapi.Account](p.API.CreateAccount(p.ctx(), openapi.NewAccount{
		ID: withoutSpaces(f.Value("id")), Marketplace: marketplace, Environment: provision.Environment(environment),
		Model: provision.Model(trimmed(f, "model")), Name: trimmed(f, "name"), RootEmail: trimmed(f, "root_email"),
		RoleARN: trimmed(f, "role_arn"),
	}))
	if err != nil {
		if f.refuse(err, map[string]string{"marketplace": "pool", "environment": "pool"}) {
			return p.showNewAccount(f)
		}
		return err
	}
	return p.redirect(p.URL("accounts", made.ID),
		"The account is added. Next, put the trust policy with its external id on the role; verification then makes it Ready.")
}

// editAccount answers GET /{provider}/accounts/{account}/edit.
func editAccount(p *page) error {
	account, version, err := readVersion[openapi.Account](p.API.GetAccount(p.ctx(), p.r.PathValue("account")))
	if err != nil {
		return err
	}
	values := accountValues(account)
	values.Set("version", version)
	return p.show("account-form", "Edit "+account.ID,
		accountFormData{Form: p.newForm(values), Account: &account, Models: modelsOf(openapi.Stock{})})
}

// accountValues are the fields of an account as a form has them.
func accountValues(a openapi.Account) url.Values {
	return url.Values{"name": {a.Name}, "model": {string(a.Model)}, "root_email": {a.RootEmail}, "role_arn": {a.RoleARN}}
}

// updateAccount answers POST /{provider}/accounts/{account}/edit.
func updateAccount(p *page) error {
	f, err := p.sent()
	if err != nil {
		return err
	}
	id := p.r.PathValue("account")
	account, version, err := readVersion[openapi.Account](p.API.GetAccount(p.ctx(), id))
	if err != nil {
		return err
	}
	data := accountFormData{Form: f, Account: &account, Models: modelsOf(openapi.Stock{})}
	current := accountValues(account)
	var changed []string
	for _, field := range accountFields {
		if trimmed(f, field.name) != current.Get(field.name) {
			changed = append(changed, field.name)
			data.Conflict = append(data.Conflict, change{field.label, current.Get(field.name), trimmed(f, field.name)})
		}
	}
	if len(changed) == 0 {
		f.Refused, f.Status = "Nothing is different: the account has these values.", http.StatusUnprocessableEntity
		return p.again(f, "account-form", "Edit "+id, data)
	}
	_, err = read[openapi.Account](p.API.UpdateAccount(p.ctx(), id, &openapi.UpdateAccountParams{IfMatch: new(f.Value("version"))},
		f.accountUpdate(changed)))
	if err == nil {
		return p.redirect(p.URL("accounts", id), "The account is changed.")
	}
	if !f.refuse(err, nil) {
		return err
	}
	if f.Status == http.StatusPreconditionFailed {
		f.Refused = "Someone changed this account after you opened the form. Nothing was changed. Compare, and save again to overwrite."
		f.Values.Set("version", version)
	} else {
		data.Conflict = nil
	}
	return p.again(f, "account-form", "Edit "+id, data)
}

// accountUpdate has the changed fields only.
func (f *form) accountUpdate(changed []string) (update openapi.AccountUpdate) {
	value := func(name string) *string {
		if !slices.Contains(changed, name) {
			return nil
		}
		return new(trimmed(f, name))
	}
	update.Name, update.RootEmail, update.RoleARN = value("name"), value("root_email"), value("role_arn")
	if model := value("model"); model != nil {
		update.Model = new(provision.Model(*model))
	}
	return update
}

// trimmed is the text of a field without space around it.
func trimmed(f *form, name string) string { return strings.TrimSpace(f.Value(name)) }

// withoutSpaces drops the spaces with which people group digits.
func withoutSpaces(text string) string { return strings.Join(strings.Fields(text), "") }

// ModelList names the models that the provider has.
func (d accountFormData) ModelList() string { return provision.JoinWords(d.Models, "or") }
