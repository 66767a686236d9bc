// Package apitest is what tests of the API's clients need: the commands and the console. It has the workflows, which work on the rows
// at once, a Temporal that is asked for its health, and orders and accounts in every state.
package apitest
