package main

import (
	"quartermaster/api/client"
	"quartermaster/api/openapi"
)

type tickCommand struct {
	apiOptions
	outputOptions
	ID     string `arg:"" help:"Order id."`
	Number int    `arg:"" help:"Number of the manual step, as orders show prints it."`
	Undo   bool   `help:"Record that the step is not done, after all."`
	Reason string `help:"Why. The history shows it; do not name people." placeholder:"TEXT"`
}

// Run ticks the step and prints the order.
func (c *tickCommand) Run(e *env, api *client.Client) error {
	order, raw, err := client.Object[openapi.Order](api.TickManualStep(e.ctx, c.ID, c.Number,
		openapi.ManualStepTick{Done: !c.Undo, Reason: named(c.Reason)}))
	if err != nil {
		return err
	}
	return writeObject(e, c.outputOptions, order, raw, order.ID, showOrder)
}
