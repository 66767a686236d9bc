package api

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

func TestNewOrderIsAcceptedOnceAndOnlyStarted(t *testing.T) {
	t.Parallel()
	w := setup(t)
	contact := map[string]any{"name": "Billing Desk", "email": "billing@berg.example", "phone": "+46 8 123 456", "title": "Accountant"}
	form := orderForm("MP-1", map[string]any{"account_model": "ECAM", "use_existing_cur": "monthly", "existing_cur_kind": "cur",
		"callback_url":          "https://market.example/h",
		"aws_alternate_contact": contact})

	answer := w.post("/v1/orders", form)
	order := read[openapi.Order](t, answer, http.StatusAccepted)
	require.Equal(t, "/qm/v1/orders/MP-1", answer.Header().Get("Location"))
	require.Equal(t, provision.Accepted, order.State)
	require.Equal(t, now, order.CreatedAt)
	require.Equal(t, now, order.Since)
	require.Equal(t, "anna.berg", order.IAMUserName)
	require.Equal(t, "Billing Desk", order.AWSAlternateContact.Name)
	require.NotContains(t, answer.Body.String(), "acme", "the provider is never in the body")

	started := w.workflows.orders[provision.OrderKey{Provider: "acme", ID: "MP-1"}]
	require.Equal(t, provision.Request{
		Marketplace: "nordic", Environment: provision.Production, OrderMode: "new_account", AccountModel: provision.ModelECAM,
		UseExistingCUR: "monthly", ExistingCURKind: provision.LegacyCUR, IAMUserName: "anna.berg", ContactName: "Anna Berg",
		AccountAlias: "berg-logistics",
		CallbackURL:  "https://market.example/h",
		AlternateContact: &provision.AlternateContact{Name: "Billing Desk", Email: "billing@berg.example", Phone: "+46 8 123 456",
			Title: "Accountant"},
	}, started.order.Request)
	require.Equal(t, now, started.order.AcceptedAt)
	_, err := w.store.Orders.Get(t.Context(), provision.Tenant{Provider: "acme"}, "MP-1")
	require.ErrorIs(t, err, provision.ErrNotFound, "the API writes no row")

	// Before the row exists, the same order again, in another spelling of the same JSON, is the same order …
	again := w.send(w.key, http.MethodPost, "/v1/orders", "\n "+asText(form))
	require.Equal(t, order, read[openapi.Order](t, again, http.StatusOK))
	require.Equal(t, "/qm/v1/orders/MP-1", again.Header().Get("Location"))
	// … and another content is refused.
	p := readProblem(t, w.post("/v1/orders", orderForm("MP-1", map[string]any{"aws_account_alias": "other"})), http.StatusConflict,
		provision.CodeOrderIDReused)
	require.Contains(t, p.Detail, `"MP-1"`)
	require.Contains(t, fieldsOf(p), "id")
	require.Equal(t, 1, w.workflows.starts)
}

func TestTheRowDecidesOnceItExists(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.completedOrder("done-1")
	order := read[openapi.Order](t, w.post("/v1/orders", orderForm("done-1")), http.StatusOK)
	require.Equal(t, provision.Completed, order.State)
	readProblem(t, w.post("/v1/orders", orderForm("done-1", map[string]any{"environment": "test"})), http.StatusConflict,
		provision.CodeOrderIDReused)
	require.Zero(t, w.workflows.starts, "Temporal's retention may be over: the row is the lasting guard")

	// The id is the provider's own: another provider may use it too.
	read[openapi.Order](t, w.send(w.otherKey, http.MethodPost, "/v1/orders", asText(orderForm("done-1"))), http.StatusAccepted)
	require.Contains(t, w.workflows.orders, provision.OrderKey{Provider: "globex", ID: "done-1"})
}

// What a POST asks the database: the key, and whether the order has a row.
func TestANewOrderCostsTwoQueriesAndNoneAfterItsStart(t *testing.T) {
	t.Parallel()
	w := setup(t)
	queries := &loggedQueries{}
	w.change(func(c *Config) {
		c.Orders, c.APIKeys = loggedOrders{c.Orders, queries}, loggedKeys{c.APIKeys, queries}
		c.Pools, c.Models = loggedPools{c.Pools, queries}, loggedModels{c.Models, queries}
	})
	form := map[string]any{"account_model": "SPAM"}
	read[openapi.Order](t, w.post("/v1/orders", orderForm("MP-1", form)), http.StatusAccepted) // learns the pool and the models
	require.Subset(t, queries.made, []string{"Pools.Exists", "Models.List"})
	queries.made = nil
	read[openapi.Order](t, w.post("/v1/orders", orderForm("MP-2", form)), http.StatusAccepted)
	require.Equal(t, []string{"APIKeys.Find", "Orders.Exists"}, queries.made)
}

type loggedQueries struct{ made []string }

type loggedOrders struct {
	Orders
	log *loggedQueries
}

func (o loggedOrders) Exists(ctx context.Context, key provision.OrderKey) (bool, error) {
	o.log.made = append(o.log.made, "Orders.Exists")
	return o.Orders.Exists(ctx, key)
}

func (o loggedOrders) Get(ctx context.Context, of provision.Tenant, id string) (provision.OrderView, error) {
	o.log.made = append(o.log.made, "Orders.Get")
	return o.Orders.Get(ctx, of, id)
}

type loggedKeys struct {
	APIKeys
	log *loggedQueries
}

func (k loggedKeys) Find(ctx context.Context, ids ...string) ([]provision.APIKey, error) {
	k.log.made = append(k.log.made, "APIKeys.Find")
	return k.APIKeys.Find(ctx, ids...)
}

type loggedPools struct {
	Pools
	log *loggedQueries
}

func (p loggedPools) Exists(
	ctx context.Context, of provision.Tenant, marketplace string, environment provision.Environment,
) (bool, error) {
	p.log.made = append(p.log.made, "Pools.Exists")
	return p.Pools.Exists(ctx, of, marketplace, environment)
}

type loggedModels struct {
	Models
	log *loggedQueries
}

func (m loggedModels) List(ctx context.Context) ([]provision.AccountModel, error) {
	m.log.made = append(m.log.made, "Models.List")
	return m.Models.List(ctx)
}

func TestFiftyIdenticalOrdersAtOnceAreOne(t *testing.T) {
	t.Parallel()
	w := setup(t)
	statuses := make([]int, 50)
	var start, done sync.WaitGroup
	start.Add(1)
	for i := range statuses {
		done.Go(func() {
			start.Wait()
			statuses[i] = w.post("/v1/orders", orderForm("MP-50")).Code
		})
	}
	start.Done()
	done.Wait()
	counts := map[int]int{}
	for _, status := range statuses {
		counts[status]++
	}
	require.Equal(t, map[int]int{http.StatusAccepted: 1, http.StatusOK: 49}, counts)
	require.Equal(t, 1, w.workflows.starts)
}

// The canonical form is a promise to every row in the database: a change here makes every repeat a conflict.
func TestRequestHashNeverChanges(t *testing.T) {
	t.Parallel()
	require.Equal(t, "84a1b020fde38b4d9674478f454715a96efcb9d0b1a0fcfce6ed2d8219494074", hex.EncodeToString(requestFixture().Hash()))
	other := requestFixture()
	other.AccountModel = provision.ModelECAM
	require.NotEqual(t, requestFixture().Hash(), other.Hash())
}

func TestEveryInvalidFieldIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	form := map[string]any{
		"id": "no spaces please", "marketplace": "Nordic!", "environment": "staging", "order_mode": "existing_account", "account_model": "GCP",
		"use_existing_cur": "a b", "iam_user_name": "an na", "aws_contact_name": "\u200bAnna", "aws_account_alias": "123456789012",
		"aws_alternate_contact": map[string]any{"name": strings.Repeat("n", 65), "email": "none", "phone": "call me"},
		"callback_url":          "http://market.example", "coupon": 1,
	}
	want := map[string]string{
		"id":                          `"no spaces please" is not an order id: use 1 to 64 characters of A-Z a-z 0-9 . _ : -`,
		"marketplace":                 "is not a marketplace id",
		"environment":                 "use production or test",
		"order_mode":                  `"existing_account" is not an order mode: use "new_account"`,
		"account_model":               `"GCP" is not an account model: use SPAM or ECAM`,
		"use_existing_cur":            "is not a report name",
		"iam_user_name":               "is not an IAM user name",
		"aws_contact_name":            "an invisible character, U+200B",
		"aws_account_alias":           `"123456789012" has twelve digits`,
		"aws_alternate_contact.name":  "needs 1 to 64 characters",
		"aws_alternate_contact.email": "not an e-mail address",
		"aws_alternate_contact.phone": "not a phone number",
		"aws_alternate_contact.title": "is missing: it is required",
		"callback_url":                "use https://",
		"coupon":                      "unknown field",
	}
	for _, target := range []string{"/v1/orders", "/v1/orders/validate"} {
		p := readProblem(t, w.post(target, form), http.StatusUnprocessableEntity, codeInvalid)
		require.Equal(t, fmt.Sprintf("%d fields are invalid", len(want)), p.Detail)
		require.Len(t, *p.Errors, len(want), "each field once: %v", fieldsOf(p))
		got := fieldsOf(p)
		for field, message := range want {
			require.Contains(t, got[field], message, field)
		}
		for _, e := range *p.Errors {
			require.Equal(t, "body", e.In)
			require.Equal(t, "/"+strings.ReplaceAll(value(e.Field), ".", "/"), value(e.Pointer))
			require.NotContains(t, e.Message, "\n")
			require.NotContains(t, e.Message, "schema")
		}
	}
	require.Zero(t, w.workflows.starts)
}

func TestOneInvalidField(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for name, c := range map[string]struct {
		change  map[string]any
		field   string
		message string
	}{
		"a folder for an id":     {map[string]any{"id": ".."}, "id", "has a special meaning in URLs"},
		"missing":                {map[string]any{"iam_user_name": nil}, "iam_user_name", "is missing: it is required"},
		"of another type":        {map[string]any{"aws_account_alias": 12}, "aws_account_alias", "must be a JSON string"},
		"a list for an object":   {map[string]any{"aws_alternate_contact": []int{1}}, "aws_alternate_contact", "must be a JSON object"},
		"empty":                  {map[string]any{"aws_contact_name": ""}, "aws_contact_name", "needs 1 to 50 characters"},
		"too long":               {map[string]any{"aws_contact_name": strings.Repeat("a", 51)}, "aws_contact_name", "it has 51"},
		"alias with two hyphens": {map[string]any{"aws_account_alias": "a--b"}, "aws_account_alias", "single hyphens inside"},
		"phone without a digit": {map[string]any{"aws_alternate_contact": map[string]any{"name": "n", "email": "a@b.example",
			"phone": "( )", "title": "t"}}, "aws_alternate_contact.phone", "not a phone number"},
		"password in the callback":  {map[string]any{"callback_url": "https://u:p@market.example"}, "callback_url", "has a user or a password"},
		"nothing where none may be": {map[string]any{"use_existing_cur": ""}, "use_existing_cur", "not a report name: use 1 to 256 characters"},
		"a field in capitals":       {map[string]any{"Account_Model": "SPAM"}, "Account_Model", "unknown field"},
		"unknown field in the middle": {map[string]any{"aws_alternate_contact": map[string]any{"name": "n", "email": "a@b.example",
			"phone": "1", "title": "t", "fax": "1"}}, "aws_alternate_contact.fax", "unknown field"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := readProblem(t, w.post("/v1/orders/validate", orderForm("MP-1", c.change)), http.StatusUnprocessableEntity, codeInvalid)
			require.Equal(t, "1 field is invalid", p.Detail, fieldsOf(p))
			require.Contains(t, fieldsOf(p)[c.field], c.message)
		})
	}
}

func TestAThousandUnknownFieldsGetAShortAnswer(t *testing.T) {
	t.Parallel()
	w := setup(t)
	form := orderForm("MP-1")
	for i := range 5000 {
		form[fmt.Sprintf("f%d", i)] = 0
	}
	require.Len(t, *readProblem(t, w.post("/v1/orders", form), http.StatusUnprocessableEntity, codeInvalid).Errors, mostFindings)
}

func TestThePoolMustBelongToTheProvider(t *testing.T) {
	t.Parallel()
	w := setup(t)
	// acme has a test pool, globex has not.
	require.Equal(t, http.StatusOK, w.post("/v1/orders/validate", orderForm("MP-1", map[string]any{"environment": "test"})).Code)
	for _, target := range []string{"/v1/orders", "/v1/orders/validate"} {
		answer := w.send(w.otherKey, http.MethodPost, target, asText(orderForm("MP-1", map[string]any{"environment": "test",
			"iam_user_name": "a b"})))
		got := fieldsOf(readProblem(t, answer, http.StatusUnprocessableEntity, codeInvalid))
		require.Len(t, got, 3, "the pool's fields, and what else is wrong")
		for _, field := range []string{"marketplace", "environment"} {
			require.Contains(t, got[field], `no pool for marketplace "nordic" and environment "test"`)
		}
	}
	require.Zero(t, w.workflows.starts)
}

func TestValidatingAnOrderStoresNothing(t *testing.T) {
	t.Parallel()
	w := setup(t)
	require.JSONEq(t, `{"valid":true}`, w.post("/v1/orders/validate", orderForm("MP-1")).Body.String())
	for _, email := range []string{"a..b@docomo.ne.jp", "a.@ezweb.ne.jp"} { // a Japanese carrier gives them out, and AWS takes them
		contact := map[string]any{"name": "A", "email": email, "phone": "+81 3 1", "title": "T"}
		require.JSONEq(t, `{"valid":true}`, w.post("/v1/orders/validate", orderForm("MP-1",
			map[string]any{"aws_alternate_contact": contact})).Body.String(), email)
	}
	require.Zero(t, w.workflows.starts)
	readProblem(t, w.get("/v1/orders/MP-1"), http.StatusNotFound, codeNotFound)
}

func TestUnreadableBodies(t *testing.T) {
	t.Parallel()
	w := setup(t)
	valid := asText(orderForm("MP-1"))
	for name, c := range map[string]struct {
		body, contentType string
		status            int
		code              provision.Code
		detail            string
	}{
		"not JSON":      {"{", "application/json", http.StatusBadRequest, codeInvalidJSON, "at byte 1"},
		"two documents": {valid + valid, "application/json", http.StatusBadRequest, codeInvalidJSON, "send one value only"},
		"blank":         {"  ", "application/json", http.StatusBadRequest, codeInvalidJSON, "is empty"},
		"not UTF-8":     {"{\"id\":\"\xff\"}", "application/json", http.StatusBadRequest, codeInvalidJSON, "UTF-8"},
		"a list":        {"[]", "application/json", http.StatusUnprocessableEntity, codeInvalid, "1 field"},
		"too large": {valid + strings.Repeat(" ", 64<<10), "application/json", http.StatusRequestEntityTooLarge,
			codeBodyTooLarge, "64 KiB"},
		"text": {valid, "text/plain", http.StatusUnsupportedMediaType, codeUnsupportedMediaType, `"text/plain"`},
		"a form": {"id=1", "application/x-www-form-urlencoded", http.StatusUnsupportedMediaType, codeUnsupportedMediaType,
			"application/json"},
		"undeclared":        {valid, "", http.StatusUnsupportedMediaType, codeUnsupportedMediaType, "application/json"},
		"JSON with charset": {valid, "application/json; charset=utf-8", http.StatusAccepted, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := w.send(w.key, http.MethodPost, "/v1/orders", c.body, "Content-Type", c.contentType)
			if c.code == "" {
				require.Equal(t, c.status, answer.Code, answer.Body.String())
				return
			}
			require.Contains(t, readProblem(t, answer, c.status, c.code).Detail, c.detail)
		})
	}
}

func TestAnOrderIsUnconfirmedWhenTemporalDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]error{
		"unavailable": fmt.Errorf("starting: %w", provision.ErrUnavailable),
		"too late":    fmt.Errorf("starting: %w", context.DeadlineExceeded),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.workflows.fail = fail
			answer := w.post("/v1/orders", orderForm("MP-1"))
			require.Contains(t, readProblem(t, answer, http.StatusServiceUnavailable, codeUnavailable).Detail,
				"send the same request again, it never creates a second order")
			require.Equal(t, "5", answer.Header().Get("Retry-After"))
			w.workflows.fail = nil
			require.Equal(t, http.StatusAccepted, w.post("/v1/orders", orderForm("MP-1")).Code)
		})
	}
	w := setup(t)
	w.workflows.fail = errors.New("namespace not found")
	p := readProblem(t, w.post("/v1/orders", orderForm("MP-1")), http.StatusInternalServerError, provision.CodeInternal)
	require.NotContains(t, p.Detail, "namespace", "what is wrong inside stays inside")
	require.Contains(t, w.log.String(), "namespace not found")
}

func TestReadingAnOrder(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *Config) { c.Simulated = true })
	completed := w.completedOrder("done-1")
	done := read[openapi.Order](t, w.get("/v1/orders/done-1"), http.StatusOK)
	require.Equal(t, provision.Completed, done.State)
	require.Equal(t, "111122223333", *done.AccountID)
	require.Len(t, done.Steps, 1)
	r := done.Result
	require.Equal(t, "ECAM", r.Model)
	require.Equal(t, "https://berg-logistics.signin.aws.amazon.com/console/", r.SignInURL)
	require.Equal(t, "https://111122223333.signin.aws.amazon.com/console/", r.SignInURLByID)
	require.Equal(t, provision.DataExport, r.Report.Kind)
	require.Contains(t, *r.RootAccess, "forgot password")
	require.True(t, r.Simulated)
	require.Equal(t, "https://aws.provider.example/qm/reveal#"+w.token(completed), *r.Password.URL)

	// Accepted a moment ago: no row yet, but no 404 either.
	w.post("/v1/orders", orderForm("MP-1"))
	require.Equal(t, provision.Accepted, read[openapi.Order](t, w.get("/v1/orders/MP-1"), http.StatusOK).State)

	w.createOrder("first", provision.WaitingForAccount)
	w.createOrder("waits", provision.WaitingForAccount)
	stuck := w.createOrder("stuck", provision.ActionRequired)
	deadline := now.Add(14 * 24 * time.Hour)
	require.NoError(t, w.store.Orders.RequireAction(t.Context(), stuck.OrderKey, provision.Failure{Code: provision.CodeAliasTaken,
		Step: provision.StepAlias, Field: "aws_account_alias", Value: "berg", Reason: "choose another one",
		AWSCode: "EntityAlreadyExists", RequestID: "r-1", AnswerBy: &deadline}))
	require.Equal(t, openapi.Waiting{Place: 2, Why: "0 of 2 accounts match: 2 other model"},
		*read[openapi.Order](t, w.get("/v1/orders/waits"), http.StatusOK).Waiting)
	asking := read[openapi.Order](t, w.get("/v1/orders/stuck"), http.StatusOK)
	require.Equal(t, "berg", *asking.Failure.Value)
	require.Equal(t, "account_alias", *asking.Failure.Step)
	require.Equal(t, deadline, *asking.ActionDeadline)
}

func TestOrdersOfOtherProvidersAreNotFound(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.completedOrder("done-1")
	w.post("/v1/orders", orderForm("MP-1"))
	for _, id := range []string{"done-1", "MP-1", "unknown"} {
		p := readProblem(t, w.send(w.otherKey, http.MethodGet, "/v1/orders/"+id, ""), http.StatusNotFound, codeNotFound)
		require.Equal(t, fmt.Sprintf("order %q not found", id), p.Detail, "the same words for foreign and unknown")
	}
	require.Empty(t, read[openapi.OrderPage](t, w.send(w.otherKey, http.MethodGet, "/v1/orders", ""), http.StatusOK).Items)
	require.Empty(t, read[openapi.OrderPage](t, w.send(w.otherKey, http.MethodGet, "/v1/orders?account_id=111122223333", ""),
		http.StatusOK).Items)
}

func TestOrderIDsInPaths(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, id := range []string{"a:b", "validate", "a.b_c-d"} {
		w.post("/v1/orders", orderForm(id))
		require.Equal(t, id, read[openapi.Order](t, w.get("/v1/orders/"+url.PathEscape(id)), http.StatusOK).ID)
		require.Equal(t, id, read[openapi.Order](t, w.get("/v1/orders/"+strings.ReplaceAll(id, ":", "%3A")), http.StatusOK).ID)
	}
	p := readProblem(t, w.get("/v1/orders/a%20b"), http.StatusBadRequest, codeInvalidParameter)
	require.Equal(t, "path", (*p.Errors)[0].In)
	require.Contains(t, fieldsOf(p)["order_id"], `"a b"`)
}

// manyOrders gives acme 7 orders, two of them accepted at the same moment. The first one has failed, the second one asks for
// a model, and the third one is of the test environment.
func manyOrders(w *testAPI) (newestFirst []string) {
	for i := range 7 {
		state := provision.Completed
		if i == 0 {
			state = provision.Failed
		}
		o := w.createOrder(fmt.Sprintf("o-%d", i), state, func(o *newOrder) {
			o.AcceptedAt = now.Add(time.Duration(i/2) * time.Minute)
			switch i {
			case 1:
				o.Request.AccountModel = provision.ModelECAM
			case 2:
				o.Request.Environment = provision.Test
			}
		})
		newestFirst = append([]string{o.ID}, newestFirst...)
	}
	return newestFirst
}

func TestPagesOfOrdersAreStable(t *testing.T) {
	t.Parallel()
	w := setup(t)
	orders := &limitedOrders{Orders: w.store.Orders}
	w.change(func(c *Config) { c.Orders = orders })
	want := manyOrders(w)
	var got []string
	target := "/v1/orders?limit=3"
	for pages := 1; ; pages++ {
		page := read[openapi.OrderPage](t, w.get(target), http.StatusOK)
		for _, o := range page.Items {
			got = append(got, o.ID)
		}
		if page.NextCursor == nil {
			require.Equal(t, 3, pages)
			break
		}
		require.Len(t, page.Items, 3)
		// An order that arrives between two pages shifts nothing.
		w.createOrder(fmt.Sprintf("newer-%d", pages), provision.Accepted, func(o *newOrder) { o.AcceptedAt = now.Add(time.Hour) })
		target = "/v1/orders?limit=3&cursor=" + *page.NextCursor
	}
	require.Equal(t, want, got)
	require.Equal(t, 4, orders.limit, "one more than the page, to know whether there is a next one")
	read[openapi.OrderPage](t, w.get("/v1/orders"), http.StatusOK)
	require.Equal(t, 51, orders.limit, "the default is 50")
}

func TestFiltersOfOrders(t *testing.T) {
	t.Parallel()
	w := setup(t)
	manyOrders(w)
	held := *read[openapi.Order](t, w.get("/v1/orders/o-3"), http.StatusOK).AccountID
	for query, want := range map[string][]string{
		"state=failed":                           {"o-0"},
		"state=failed&state=completed&limit=200": {"o-6", "o-5", "o-4", "o-3", "o-2", "o-1", "o-0"},
		"model=ECAM":                             {"o-1"},
		"environment=test":                       {"o-2"},
		"account_id=" + held:                     {"o-3"},
		"marketplace=southern":                   {},
		"created_after=2026-11-22T10:02:00Z":     {"o-6", "o-5", "o-4"},
		"created_before=2026-11-22T10:01:00Z":    {"o-1", "o-0"},
		"created_after=2026-11-22T12:02:00%2B02:00&state=completed":              {"o-6", "o-5", "o-4"},
		"created_after=2026-11-22T10:01:00Z&created_before=2026-11-22T10:02:00Z": {"o-3", "o-2"},
	} {
		got := []string{}
		for _, o := range read[openapi.OrderPage](t, w.get("/v1/orders?"+query), http.StatusOK).Items {
			got = append(got, o.ID)
		}
		require.Equal(t, want, got, query)
	}
}

func TestInvalidParametersAreRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for query, want := range map[string]map[string]string{
		"limit=0":                         {"limit": `"0": must be at least 1`},
		"limit=201":                       {"limit": `"201": must be at most 200`},
		"limit=ten":                       {"limit": `"ten": must be a number without a fraction`},
		"limit=1&limit=2":                 {"limit": "is given 2 times: give it once"},
		"state=done":                      {"state": `"done": use accepted, waiting_for_account, provisioning`},
		"stat=failed":                     {"stat": "unknown parameter"},
		"account_id=1":                    {"account_id": `"1": not an AWS account id: it has exactly 12 digits`},
		"created_after=yesterday":         {"created_after": `write the + of a time zone as %2B`},
		"environment=staging&limit=0&x=1": {"environment": "use production or test", "limit": "at least 1", "x": "unknown parameter"},
		"created_after=2026-11-22T10:00:00+02:00": {"created_after": `%2B`},
	} {
		p := readProblem(t, w.get("/v1/orders?"+query), http.StatusBadRequest, codeInvalidParameter)
		got := fieldsOf(p)
		require.Len(t, got, len(want), "%s: %v", query, got)
		for field, message := range want {
			require.Contains(t, got[field], message, query)
		}
		for _, e := range *p.Errors {
			require.Equal(t, "query", e.In)
			require.Nil(t, e.Pointer)
		}
	}
}

func TestAResultContainsItsWarnings(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.completedOrder("MP-1")
	require.NotContains(t, w.get("/v1/orders/MP-1").Body.String(), `"warnings"`)
	result := resultFixture("111122223334")
	result.Warnings = []string{"the report is delivered as CSV"}
	order := w.createOrder("MP-2", provision.Provisioning)
	require.NoError(t, w.store.Orders.Allocate(t.Context(), order.OrderKey, order.AccountID, result))
	require.Equal(t, result.Warnings, *read[openapi.Order](t, w.get("/v1/orders/MP-2"), http.StatusOK).Result.Warnings)
}
