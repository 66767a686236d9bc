package stack_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/dev/stack"
	"quartermaster/internal/provision"
)

// inbox is a marketplace's receiver: it verifies messages with the reference library and keeps each message once.
type inbox struct {
	mu       sync.Mutex
	secret   string
	refuse   int // so many messages are answered with 500
	ids      []string
	messages map[string]string // by webhook-id: type and order
	repeats  int
	forged   []string
}

func (b *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	verifier, wrong := standardwebhooks.NewWebhook(b.secret)
	if err != nil || wrong != nil || verifier.Verify(body, r.Header) != nil {
		b.forged = append(b.forged, string(body))
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if b.refuse > 0 {
		b.refuse--
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	id := r.Header.Get("webhook-id")
	if _, twice := b.messages[id]; twice {
		b.repeats++
		return
	}
	var message openapi.OrderEvent
	_ = json.Unmarshal(body, &message)
	b.ids = append(b.ids, id)
	b.messages[id] = message.Type + " " + message.Data.OrderID
}

func (b *inbox) received() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string{}, b.ids...)
}

// A receiver is down while orders run, then responds with errors, then accepts messages, and the worker is killed during that. In the
// end the receiver has every event, in order.
func TestReceiverThatWasDownGetsEveryEventInOrder(t *testing.T) {
	ctx := setup(t)
	const marketplace, orders = "webhooks", 3
	_, err := playground.Stock(ctx, marketplace, provision.ModelSPAM, orders+1)
	require.NoError(t, err)
	reserved, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := reserved.Addr().String()
	require.NoError(t, reserved.Close())

	var before openapi.EventPage
	_, err = playground.Client.Do(ctx, http.MethodGet, "/v1/events?type=webhook.test", nil, &before) // its cursor: now
	require.NoError(t, err)
	var hook openapi.WebhookWithSecret
	_, err = playground.Client.Do(ctx, http.MethodPost, "/v1/webhooks",
		openapi.NewWebhook{URL: "http://" + address + "/hooks", EventTypes: &openapi.EventTypes{"order.*"}}, &hook)
	require.NoError(t, err)
	place := func(i int) {
		order := stack.NewOrder(fmt.Sprintf("hooked-%d", i), provision.ModelSPAM)
		order.Marketplace = marketplace
		require.NoError(t, playground.Place(ctx, order))
		ended, err := playground.Ended(ctx, order.ID)
		require.NoError(t, err)
		require.Equal(t, provision.Completed, ended.State, "%+v", ended.Failure)
	}
	for i := range orders {
		place(i)
	}
	deliveries := "/v1/webhooks/" + hook.Webhook.ID + "/deliveries"
	require.Eventually(t, func() bool { return headHasFailed(t, ctx, deliveries) }, time.Minute, 50*time.Millisecond,
		"the operator sees why nothing arrives")

	box := &inbox{secret: hook.Secret, refuse: 2, messages: map[string]string{}}
	listener, err := net.Listen("tcp", address)
	require.NoError(t, err)
	server := &http.Server{Handler: box, ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(listener) }()
	defer func() { require.NoError(t, server.Close()) }()
	require.Eventually(t, func() bool { return len(box.received()) > 0 }, time.Minute, time.Millisecond)
	require.NoError(t, playground.Crash(ctx, stack.PartWorker))
	place(orders)

	var happened openapi.EventPage
	_, err = playground.Client.Do(ctx, http.MethodGet, "/v1/events?type=order.*&limit=200&cursor="+before.NextCursor, nil, &happened)
	require.NoError(t, err)
	var wanted []string
	for _, e := range happened.Items {
		wanted = append(wanted, e.ID)
	}
	require.GreaterOrEqual(t, len(wanted), 4*(orders+1), "accepted, waiting, provisioning, completed")
	require.Eventually(t, func() bool { return len(box.received()) >= len(wanted) }, 2*time.Minute, 50*time.Millisecond,
		"%d of %d arrived", len(box.received()), len(wanted))
	require.Equal(t, wanted, box.received())
	require.Empty(t, box.forged)
	for i, e := range happened.Items {
		require.Equal(t, fmt.Sprint(e.Type, " ", e.Data["order_id"]), box.messages[wanted[i]])
	}
	t.Logf("%d messages, %d came twice", len(wanted), box.repeats)
}

// headHasFailed reports whether the oldest delivery has a failed attempt and no later delivery has an attempt.
func headHasFailed(t *testing.T, ctx context.Context, deliveries string) bool {
	t.Helper()
	var page openapi.DeliveryPage
	_, err := playground.Client.Do(ctx, http.MethodGet, deliveries+"?state=pending&limit=200", nil, &page)
	require.NoError(t, err)
	if len(page.Items) == 0 {
		return false
	}
	var head openapi.DeliveryWithAttempts
	_, err = playground.Client.Do(ctx, http.MethodGet, deliveries+"/"+page.Items[len(page.Items)-1].ID, nil, &head)
	require.NoError(t, err)
	for _, behind := range page.Items[:len(page.Items)-1] {
		require.Zero(t, behind.AttemptsMade, "the head of the line blocks")
	}
	return len(head.Attempts) > 0 && head.Attempts[0].Error != nil &&
		*head.Attempts[0].Error == "no connection could be made: the receiver refuses it or cannot be reached"
}
