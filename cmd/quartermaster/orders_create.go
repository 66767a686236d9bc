package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"quartermaster/api/client"
	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// mostJSON is the size of a JSON file that a command reads; the API takes no more.
const mostJSON = 64 << 10

const jsonType = "application/json"

// contactOptions are an alternate contact: all four or none.
type contactOptions struct {
	ContactName  string `name:"alternate-contact-name" help:"Name of the alternate contact. Give all four of its options, or none." placeholder:"NAME"`
	ContactEmail string `name:"alternate-contact-email" help:"E-mail address of the alternate contact." placeholder:"ADDRESS"`
	ContactPhone string `name:"alternate-contact-phone" help:"Phone number of the alternate contact." placeholder:"NUMBER"`
	ContactTitle string `name:"alternate-contact-title" help:"Job title of the alternate contact." placeholder:"TITLE"`
}

func (o contactOptions) contact() *openapi.AlternateContact {
	return named(openapi.AlternateContact{Name: o.ContactName, Email: o.ContactEmail, Phone: o.ContactPhone, Title: o.ContactTitle})
}

// orderOptions are the fields of an order form.
type orderOptions struct {
	contactOptions
	ID              string `arg:"" optional:"" help:"The id that you choose for the order: 1 to 64 of A-Z a-z 0-9 . _ : -"`
	Marketplace     string `help:"Marketplace id." placeholder:"ID"`
	Environment     string `help:"production or test." enum:"production,test" default:"production"`
	AccountModel    string `help:"Account model, such as SPAM or ECAM. Unset: the oldest account of any model." placeholder:"MODEL"`
	IAMUserName     string `name:"iam-user-name" help:"Name of the customer's IAM user." placeholder:"NAME"`
	AWSContactName  string `name:"aws-contact-name" help:"Full name of the account's primary contact." placeholder:"NAME"`
	AWSAccountAlias string `name:"aws-account-alias" help:"Alias of the account." placeholder:"ALIAS"`
	UseExistingCUR  string `name:"use-existing-cur" help:"Name of an existing report to link. Unset: a new report is created." placeholder:"NAME"`
	ExistingCURKind string `name:"existing-cur-kind" help:"Which report is meant if the account has two with that name: cur or export." enum:",cur,export" default:"" placeholder:"KIND"`
	CustomerID      string `help:"The id of the customer for whom the order is placed. Give it with --customer-name." placeholder:"ID"`
	CustomerName    string `help:"The name of the customer." placeholder:"NAME"`
	CallbackURL     string `name:"callback-url" help:"Where webhooks about this order go." placeholder:"URL"`
}

func (o orderOptions) order() openapi.NewOrder {
	return openapi.NewOrder{
		ID:                  o.ID,
		Marketplace:         o.Marketplace,
		Environment:         provision.Environment(o.Environment),
		OrderMode:           provision.OrderModeNewAccount,
		AccountModel:        named(provision.Model(o.AccountModel)),
		IAMUserName:         o.IAMUserName,
		AWSContactName:      o.AWSContactName,
		AWSAccountAlias:     o.AWSAccountAlias,
		AWSAlternateContact: o.contact(),
		UseExistingCUR:      named(o.UseExistingCUR),
		ExistingCURKind:     named(provision.ReportKind(o.ExistingCURKind)),
		CallbackURL:         named(o.CallbackURL),
		Customer:            named(openapi.Customer{ID: o.CustomerID, Name: o.CustomerName}),
	}
}

type createOrderCommand struct {
	apiOptions
	outputOptions
	orderOptions
	File   string `help:"JSON file with the order, as the API takes it, instead of the options. -: the standard input." placeholder:"FILE"`
	DryRun bool   `help:"Check the order and place nothing."`
	Watch  bool   `help:"Follow the order until it ends. The exit code is 0 only if it completes."`
}

// Run places the order. An answer that is lost is asked for again: the API recognizes the order by its id.
func (c *createOrderCommand) Run(e *env, api *client.Client) error {
	body, id, err := c.body(e)
	if err != nil {
		return err
	}
	if c.DryRun {
		raw, err := client.Body(api.ValidateOrderWithBody(e.ctx, jsonType, bytes.NewReader(body)))
		if err == nil && c.JSON {
			return writeRaw(e, raw)
		}
		if err == nil {
			fmt.Fprintf(e.out, "order %s would be accepted\n", id)
		}
		return err
	}
	order, raw, err := client.Object[openapi.Order](api.CreateOrderWithBody(e.ctx, jsonType, bytes.NewReader(body)))
	if err != nil {
		return notConfirmed(id, err)
	}
	if c.Watch {
		return watch{Client: api, output: c.outputOptions, id: order.ID}.run(e)
	}
	return writeObject(e, c.outputOptions, order, raw, order.ID, func(e *env, o openapi.Order) error {
		_, err := fmt.Fprintf(e.out, "order %s is %s; follow it with: quartermaster orders watch %s\n", o.ID, o.State, o.ID)
		return err
	})
}

// body returns the JSON of the order and its id.
func (c *createOrderCommand) body(e *env) (body []byte, id string, err error) {
	if c.File == "" {
		if c.ID == "" {
			return nil, "", usage("the order's id is missing: choose one, or name a file with --file")
		}
		body, err = json.Marshal(c.order())
		return body, c.ID, err
	}
	without := c.orderOptions
	without.Environment = ""
	if without != (orderOptions{}) {
		return nil, "", usage("--file holds the whole order: leave out the id and the other options of the order")
	}
	body, name, err := readFile(e, c.File, mostJSON)
	if err != nil {
		return nil, "", err
	}
	var order struct{ ID string }
	if err := json.Unmarshal(body, &order); err != nil {
		return nil, "", usage("%s is not the JSON of an order: %w", name, err)
	}
	return body, order.ID, nil
}

// notConfirmed says that an order may have been accepted, if that is so.
func notConfirmed(id string, err error) error {
	if exitCode(err) != exitUnavailable {
		return err
	}
	if refused, ok := errors.AsType[*openapi.Problem](err); ok && strings.HasPrefix(refused.Detail, "could not confirm") {
		return err
	}
	return fmt.Errorf("could not confirm that order %s was accepted: %w; run the same command again, it never places a second order", id, err)
}

type correctOrderCommand struct {
	apiOptions
	outputOptions
	contactOptions
	ID              string `arg:"" help:"Order id."`
	IAMUserName     string `name:"iam-user-name" help:"Another name for the IAM user." placeholder:"NAME"`
	AWSContactName  string `name:"aws-contact-name" help:"Another full name for the primary contact." placeholder:"NAME"`
	AWSAccountAlias string `name:"aws-account-alias" help:"Another alias." placeholder:"ALIAS"`
	UseExistingCUR  string `name:"use-existing-cur" help:"Another existing report." placeholder:"NAME" xor:"report"`
	NewReport       bool   `help:"Create a new report instead of linking an existing one." xor:"report"`
	ExistingCURKind string `name:"existing-cur-kind" help:"Which report is meant if the account has two with that name: cur or export." enum:",cur,export" default:"" placeholder:"KIND"`
	Reason          string `help:"Why. The history shows it; do not name people." placeholder:"TEXT"`
}

// Run sends the correction and prints the order.
func (c *correctOrderCommand) Run(e *env, api *client.Client) error {
	correction := openapi.OrderCorrection{
		IAMUserName:         named(c.IAMUserName),
		AWSContactName:      named(c.AWSContactName),
		AWSAccountAlias:     named(c.AWSAccountAlias),
		AWSAlternateContact: c.contact(),
		ExistingCURKind:     named(provision.ReportKind(c.ExistingCURKind)),
		Reason:              named(c.Reason),
	}
	if c.UseExistingCUR != "" {
		correction.UseExistingCUR.Set(c.UseExistingCUR)
	}
	if c.NewReport {
		correction.UseExistingCUR.SetNull()
	}
	order, raw, err := client.Object[openapi.Order](api.CorrectOrder(e.ctx, c.ID, correction))
	if err != nil {
		return err
	}
	return writeObject(e, c.outputOptions, order, raw, order.ID, showOrder)
}

// correctionOption returns the options that correct a field.
func correctionOption(field string) string {
	switch {
	case strings.HasPrefix(field, "aws_alternate_contact"):
		return "--alternate-contact-name … --alternate-contact-email … --alternate-contact-phone … --alternate-contact-title …"
	case field == "use_existing_cur":
		return "--use-existing-cur …, or --new-report"
	}
	return "--" + strings.ReplaceAll(field, "_", "-") + " …"
}
