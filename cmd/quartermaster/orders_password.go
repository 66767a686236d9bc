package main

import (
	"time"

	"quartermaster/api/client"
	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

type newPasswordCommand struct {
	apiOptions
	outputOptions
	yesOptions
	reasonOptions
	onceOptions
	ID         string `arg:"" help:"Order id."`
	EvenIfUsed bool   `help:"Also replace a password that the customer has chosen. That locks the customer out until you hand over the new link."`
}

// Run asks for the password, waits until it is set, and prints the new link.
func (c *newPasswordCommand) Run(e *env, api *client.Client) error {
	return bulk{
		outputOptions: c.outputOptions, yesOptions: c.yesOptions, verb: "replace the password of", noun: "order", destroys: c.EvenIfUsed,
		targets: []target{{c.ID, "the earlier link stops working"}},
		do: func(id string) ([]byte, string, error) {
			order, raw, err := client.Object[openapi.Order](api.IssuePassword(e.ctx, id,
				&openapi.IssuePasswordParams{IdempotencyKey: c.idempotencyKey()}, openapi.NewPassword{Reason: c.Reason,
					EvenIfUsed: named(c.EvenIfUsed)}))
			for err == nil && order.Result != nil && order.Result.Password != nil && order.Result.Password.SettingSince != nil {
				if err = pause(e, watchEvery); err == nil {
					order, raw, err = client.Object[openapi.Order](api.GetOrder(e.ctx, id))
				}
			}
			if err == nil {
				err = refusedPassword(order)
			}
			return raw, link(order), err
		},
	}.run(e)
}

// pause waits until the time is up or the command is interrupted.
func pause(e *env, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-e.ctx.Done():
		return e.ctx.Err()
	case <-timer.C:
		return nil
	}
}

// refusedPassword says why no password was set, if that is so.
func refusedPassword(o openapi.Order) error {
	if o.Result == nil || o.Result.Password == nil || o.Result.Password.Refused == nil {
		return nil
	}
	refused := o.Result.Password.Refused
	return &provision.Failure{Code: provision.Code(refused.Code), Reason: refused.Reason}
}

// link returns the link to the password of an order.
func link(o openapi.Order) string {
	if o.Result == nil || o.Result.Password == nil || o.Result.Password.URL == nil {
		return "the password is set; this key may not see the link"
	}
	return *o.Result.Password.URL
}
