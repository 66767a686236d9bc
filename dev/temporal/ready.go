package temporal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
)

// lookTimeout bounds one probe of a server that may not answer yet.
const lookTimeout = 2 * time.Second

// errMismatch marks errors that waiting does not resolve.
var errMismatch = errors.New("the database holds something else than was asked for")

// probe checks whether a server serves what Options ask for.
type probe struct {
	client  client.Client
	options Options
}

func newProbe(address string, o Options) (*probe, error) {
	c, err := client.NewLazyClient(client.Options{
		HostPort:  address,
		Namespace: o.Namespace,
		Logger:    log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		return nil, fmt.Errorf("cannot make a client for %s: %w", address, err)
	}
	return &probe{client: c, options: o}, nil
}

func (p *probe) close() { p.client.Close() }

// look returns nil when the frontend is healthy and the namespace and the search attributes can be used.
func (p *probe) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if _, err := p.client.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
		return fmt.Errorf("frontend: %w", err)
	}
	if _, err := p.client.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{
		Namespace: p.options.Namespace,
	}); err != nil {
		return fmt.Errorf("namespace %q: %w", p.options.Namespace, err)
	}
	if err := p.addMissingAttributes(ctx); err != nil {
		return err
	}
	if err := p.useAttributes(ctx); err != nil {
		return err
	}
	return p.reachUI(ctx)
}

// reachUI connects to the Web UI, if the options ask for one.
func (p *probe) reachUI(ctx context.Context) error {
	if p.options.UIPort < 0 {
		return nil
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", p.options.reach(p.options.UIPort))
	if err != nil {
		return fmt.Errorf("the Web UI: %w", err)
	}
	return conn.Close()
}

// addMissingAttributes adds the search attributes that are missing: a Temporal CLI adds them only to a namespace that it creates,
// and a DBFile may contain an older namespace.
func (p *probe) addMissingAttributes(ctx context.Context) error {
	if len(p.options.SearchAttributes) == 0 {
		return nil
	}
	there, err := p.client.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{
		Namespace: p.options.Namespace,
	})
	if err != nil {
		return fmt.Errorf("search attributes: %w", err)
	}
	missing := map[string]enumspb.IndexedValueType{}
	for name, kind := range p.options.SearchAttributes {
		wanted, err := attributeType(kind)
		if err != nil {
			return err
		}
		switch is, exists := there.GetCustomAttributes()[name]; {
		case !exists:
			missing[name] = wanted
		case is != wanted:
			return fmt.Errorf("search attribute %q is of type %s and cannot become %s: name another, or set another DBFile: %w",
				name, is, wanted, errMismatch)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if _, err := p.client.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: p.options.Namespace, SearchAttributes: missing,
	}); err != nil {
		return fmt.Errorf("search attributes: %w", err)
	}
	return nil
}

// useAttributes queries workflows by every search attribute: the list shows a new attribute before queries accept it.
func (p *probe) useAttributes(ctx context.Context) error {
	var conditions []string
	for _, name := range slices.Sorted(maps.Keys(p.options.SearchAttributes)) {
		conditions = append(conditions, "`"+name+"` IS NOT NULL")
	}
	if _, err := p.client.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{
		Query: strings.Join(conditions, " OR "),
	}); err != nil {
		return fmt.Errorf("listing workflows: %w", err)
	}
	return nil
}

// attributeType reads the name of a search attribute's type; its case does not matter.
func attributeType(name string) (enumspb.IndexedValueType, error) {
	for value := range enumspb.IndexedValueType_name {
		kind := enumspb.IndexedValueType(value)
		if kind != enumspb.INDEXED_VALUE_TYPE_UNSPECIFIED && strings.EqualFold(kind.String(), name) {
			return kind, nil
		}
	}
	return 0, fmt.Errorf("%q is not a type: give Text, Keyword, Int, Double, Bool, Datetime or KeywordList", name)
}
