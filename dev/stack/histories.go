package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/api/temporalproto"

	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
	"quartermaster/workflows"
)

// Record plays every scenario whose history is not kept yet and keeps it, as JSON that people can read: nothing in it is
// real, so the payloads are opened. A history that is there is never recorded again: it stands for orders that run.
func (p *Playground) Record(ctx context.Context, folder string) (recorded []string, err error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	for _, scenario := range Scenarios {
		file := filepath.Join(folder, scenario.Name+".json")
		if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
			continue
		}
		order, err := scenario.Run(ctx, p)
		if err == nil && order.State != scenario.Ends {
			err = fmt.Errorf("the order is %s, not %s", order.State, scenario.Ends)
		}
		if err != nil {
			return recorded, fmt.Errorf("scenario %s: %w", scenario.Name, err)
		}
		text, err := p.history(ctx, order.ID)
		if err != nil {
			return recorded, fmt.Errorf("scenario %s: %w", scenario.Name, err)
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return recorded, err
		}
		recorded = append(recorded, scenario.Name)
	}
	return recorded, nil
}

// history reads the history of an order's workflow to its end and opens its payloads.
func (p *Playground) history(ctx context.Context, orderID string) ([]byte, error) {
	id := workflows.OrderWorkflowID(provision.OrderKey{Provider: Provider, ID: orderID})
	// The row says that the order ended a moment before the workflow does.
	_ = p.Workflow.GetWorkflow(ctx, id, "").Get(ctx, nil) // how it ended is the scenario's business
	history := &historypb.History{}
	events := p.Workflow.GetWorkflowHistory(ctx, id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			return nil, err
		}
		history.Events = append(history.Events, event)
	}
	ring, err := secrets.ParseRing(p.SealKeys)
	if err != nil {
		return nil, err
	}
	codec := secrets.NewCodec(ring)
	err = proxy.VisitPayloads(ctx, history, proxy.VisitPayloadsOptions{
		Visitor: func(_ *proxy.VisitPayloadsContext, sealed []*commonpb.Payload) ([]*commonpb.Payload, error) {
			return codec.Decode(sealed)
		},
		SkipSearchAttributes: true, // they are not sealed
	})
	if err != nil {
		return nil, err
	}
	return temporalproto.CustomJSONMarshalOptions{Indent: " "}.Marshal(history)
}
