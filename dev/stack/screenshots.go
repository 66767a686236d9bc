package stack

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/chromedp/chromedp"

	"quartermaster/api/openapi"
	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// The size of the browser window in CSS pixels; its frame takes some of the height.
const (
	pictureWidth  = 1400
	pictureHeight = 1150
)

// Screenshots takes pictures of the Web UI for the documents: an order that runs, one that waits and one that failed.
func (p *Playground) Screenshots(ctx context.Context, folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.WindowSize(pictureWidth, pictureHeight),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	ctx, closeBrowser := chromedp.NewExecAllocator(ctx, options...)
	defer closeBrowser()
	for _, picture := range []struct {
		name string
		play func(context.Context) (openapi.Order, error)
		page string // of the workflow
		text string // that the page shows when it is complete
	}{
		{"order-waiting", p.picturedWaiting, "user-metadata", "Details"},
		{"order-running", p.picturedRunning, "timeline", "Pending Activities"},
		{"order-failed", p.picturedFailed, "timeline", "Pending Activities"},
	} {
		order, err := picture.play(ctx)
		if err == nil {
			err = p.photograph(ctx, order.ID, picture.page, picture.text, filepath.Join(folder, picture.name+".png"))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", picture.name, err)
		}
	}
	return nil
}

func (p *Playground) picturedWaiting(ctx context.Context) (openapi.Order, error) {
	order := NewOrder("mp-2026-000118", provision.ModelECAM)
	order.Marketplace = "nordic"
	return openapi.Order{ID: order.ID}, p.wait(ctx, order)
}

// picturedRunning places an order whose contacts are throttled repeatedly, while the other steps complete.
func (p *Playground) picturedRunning(ctx context.Context) (openapi.Order, error) {
	order := NewOrder("mp-2026-000117", provision.ModelSPAM)
	order.Marketplace = "baltic"
	ids, err := p.Stock(ctx, order.Marketplace, provision.ModelSPAM, 1)
	if err != nil {
		return openapi.Order{}, err
	}
	p.Sim.Inject(awssim.Fault{Service: "account", Operation: "PutContactInformation", AccountID: ids[0], Kind: awssim.Throttle})
	if err := p.Place(ctx, order); err != nil {
		return openapi.Order{}, err
	}
	return p.Until(ctx, order.ID, StepDone(provision.StepReport))
}

func (p *Playground) picturedFailed(ctx context.Context) (openapi.Order, error) {
	order := NewOrder("mp-2026-000116", provision.ModelECAM)
	order.Marketplace = "alpine"
	return p.simple(ctx, order, deny("CreateLoginProfile"), p.act("fail"))
}

const pageTimeout = 20 * time.Second

// photograph opens the workflow's page and waits for a text: the page polls as long as it is open, so it is never idle.
func (p *Playground) photograph(ctx context.Context, orderID, page, text, file string) error {
	id := workflows.OrderWorkflowID(provision.OrderKey{Provider: Provider, ID: orderID})
	described, err := p.Workflow.DescribeWorkflowExecution(ctx, id, "")
	if err != nil {
		return err
	}
	run := described.WorkflowExecutionInfo.Execution.RunId
	ctx, closeTab := chromedp.NewContext(ctx)
	defer closeTab()
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	shows := func(expression string) chromedp.Action[chromedp.Void] {
		return chromedp.Poll[chromedp.Void](expression,
			chromedp.WithPollingInterval(200*time.Millisecond), chromedp.WithPollingTimeout(pageTimeout))
	}
	err = chromedp.Do(ctx,
		chromedp.Navigate(fmt.Sprintf("%s/namespaces/default/workflows/%s/%s/%s", p.WebUI, url.PathEscape(id), run, page)),
		shows(fmt.Sprintf(`document.body.textContent.includes(%q)`, text)),
		chromedp.Sleep(4*time.Second), // the timeline is drawn, and the details come in a frame of their own
	)
	if err != nil {
		return fmt.Errorf("the page of workflow %s should show %q: %w", id, text, err)
	}
	shot, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		return err
	}
	return os.WriteFile(file, shot, 0o644) // #nosec G306 -- pictures for the documents
}
