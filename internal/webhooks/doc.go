// Package webhooks sends signed messages to addresses that customers chose, and keeps them away from internal networks: a
// connection is only made to a public address, whatever the name of the receiver resolves to. The format is Standard
// Webhooks 1.0.0.
//
// The activities decide what is sent and when (package activities, workflow DeliverWebhooks); this package makes one attempt.
// The API checks the URLs of webhooks with the same Policy. The example shows how a receiver verifies a message.
package webhooks
