package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"quartermaster/api/openapi"
	"quartermaster/dev/stack"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

const (
	demoBudget = 3 * time.Minute
	pollEvery  = 150 * time.Millisecond
)

// demoOrders returns the two orders of the demonstration: a new report on an ECAM account, and an existing one on a SPAM account.
func demoOrders(now time.Time) []openapi.NewOrder {
	stamp := now.UTC().Format("20060102-150405")
	ecam, spam := provision.ModelECAM, provision.ModelSPAM
	existing := stack.ExistingReport
	return []openapi.NewOrder{
		{
			ID: "demo-" + stamp + "-new", Marketplace: stack.NewReports,
			Environment: provision.Production, OrderMode: provision.OrderModeNewAccount,
			AccountModel: &ecam, IAMUserName: "anna.berg", AWSContactName: "Anna Berg", AWSAccountAlias: "berg-logistics-" + stamp,
			AWSAlternateContact: &provision.AlternateContact{
				Name: "Billing Desk", Email: "billing@berg.example", Phone: "+46 8 123 456", Title: "Accountant",
			},
		},
		{
			ID: "demo-" + stamp + "-existing", Marketplace: stack.ExistingReports,
			Environment: provision.Production, OrderMode: provision.OrderModeNewAccount,
			AccountModel: &spam, UseExistingCUR: &existing,
			IAMUserName: "li.wei", AWSContactName: "Li Wei", AWSAccountAlias: "wei-trading-" + stamp,
		},
	}
}

// runDemo places the orders, follows them live, and prints what the customers get. It fails unless both complete.
func runDemo(ctx context.Context, s *stack.Stack, client *stack.Client) error {
	ctx, cancel := context.WithTimeout(ctx, demoBudget)
	defer cancel()
	orders := demoOrders(time.Now())
	fmt.Println("\nPlacing two orders: a new cost report on an ECAM account, an existing one on a SPAM account.")
	began := time.Now()
	var following errgroup.Group
	finished := make([]openapi.Order, len(orders))
	for i, order := range orders {
		status, _, err := client.PlaceOrder(ctx, order)
		if err != nil {
			return err
		}
		if status != http.StatusAccepted {
			return fmt.Errorf("order %s: status %d, expected 202", order.ID, status)
		}
		following.Go(func() (err error) {
			finished[i], err = follow(ctx, client, order.ID, began)
			return err
		})
	}
	if err := following.Wait(); err != nil {
		return err
	}
	var unfinished []string
	for _, order := range finished {
		printOrder(s, order)
		fmt.Printf("order %s: %s\n", order.ID, order.State)
		if order.State != provision.Completed {
			unfinished = append(unfinished, order.ID)
		}
	}
	if len(unfinished) > 0 {
		return fmt.Errorf("not completed: %s; the logs are in %s", strings.Join(unfinished, ", "), s.Dir)
	}
	return nil
}

// follow prints every change of the order until it has ended.
func follow(ctx context.Context, client *stack.Client, id string, began time.Time) (openapi.Order, error) {
	shown := map[string]bool{}
	show := func(text string) {
		if !shown[text] {
			shown[text] = true
			fmt.Printf("  %5.1f s  %-32s %s\n", time.Since(began).Seconds(), id, text)
		}
	}
	for {
		order, err := client.Order(ctx, id)
		if err != nil {
			return order, err
		}
		for _, step := range order.Steps {
			if text := fmt.Sprintf("%s: %s", step.Step, step.State); step.Problem != nil && *step.Problem != "" {
				show(text + " (" + *step.Problem + ")")
			} else {
				show(text)
			}
		}
		show("→ " + string(order.State))
		if order.State.Ended() {
			return order, nil
		}
		select {
		case <-ctx.Done():
			return order, fmt.Errorf("order %s is still %s after %s", id, order.State, demoBudget)
		case <-time.After(pollEvery):
		}
	}
}

func printOrder(s *stack.Stack, order openapi.Order) {
	fmt.Printf("\nOrder %s\n", order.ID)
	if order.Failure != nil {
		fmt.Printf("  failed because   %s: %s\n", order.Failure.Code, order.Failure.Reason)
	}
	if r := order.Result; r != nil {
		report := "new"
		if r.Report.Existing {
			report = "existing"
		}
		fmt.Printf("  account          %s (%s)\n  sign in          %s\n  or               %s\n  user             %s\n",
			r.AccountID, r.Model, r.SignInURL, r.SignInURLByID, r.IAMUserName)
		if r.Password != nil && r.Password.URL != nil {
			fmt.Printf("  password, once   %s\n", *r.Password.URL)
		}
		fmt.Printf("  cost report      %s (%s) in s3://%s/%s, usage from %s\n",
			r.Report.Name, report, r.Report.Bucket, r.Report.Prefix, r.UsageAvailableFrom.Format(time.RFC3339))
		if r.RootAccess != nil {
			fmt.Printf("  root access      %s\n", strings.ReplaceAll(*r.RootAccess, "\n", "\n                   "))
		}
		fmt.Printf("  simulated AWS    %s/_sim/accounts/%s\n", s.AWSAdmin, r.AccountID)
	}
	if s.WebUI != "" {
		id := workflows.OrderWorkflowID(provision.OrderKey{Provider: stack.Provider, ID: order.ID})
		fmt.Printf("  in the Web UI    %s/namespaces/default/workflows/%s\n", s.WebUI, strings.ReplaceAll(id, "/", "%2F"))
	}
}
