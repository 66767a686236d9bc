package postgres

import (
	"context"
	"log/slog"
	"time"
)

// What the tests of this package see of its inside.
const (
	QueueHeadSQL        = queueHeadSQL
	StockFactsSQL       = stockFactsSQL
	StockSQL            = stockSQL
	OrderCountsSQL      = orderCountsSQL
	OrdersInProgressSQL = ordersInProgressSQL
	DueWebhooksSQL      = dueWebhooksSQL
	HeadSQL             = headSQL
	WebhookQueueSQL     = queueSQL
	EventsSQL           = eventsSQL
	BehindSQL           = behindSQL
	CallbacksBehindSQL  = callbacksBehindSQL
	PurgeEventsSQL      = purgeEventsSQL
	PurgeDeliveriesSQL  = purgeDeliveriesSQL
)

var FoldCountsSQL = foldCountsSQL

// UnmatchedSQL and NotBegunSQL are the statements of Orders.MatchStock.
var UnmatchedSQL, NotBegunSQL = unmatchedSQL, notBegunSQL

// Classify is classify.
var Classify = classify

// ListenEventsImpatiently is ListenEvents with a connection that may be silent for a moment only.
func ListenEventsImpatiently(ctx context.Context, databaseURL string, log *slog.Logger) *EventHints {
	return listenEvents(ctx, databaseURL, log, listenTimes{ping: 100 * time.Millisecond, silence: 500 * time.Millisecond,
		firstRetry: 50 * time.Millisecond, longestRetry: 100 * time.Millisecond})
}

// HistoryQuery is historyQuery.
var HistoryQuery = historyQuery

// StepStartedSQL and StepEndedSQL are the statements of Steps.Begin and Steps.End.
var (
	StepStartedSQL = stepStartedSQL
	StepEndedSQL   = stepEndedSQL
)

// FewOrders is fewOrders.
const FewOrders = fewOrders
