// Package verbs asks the workflows of orders to do what people want: cancel, retry, fail, swap, end the undo, and correct. The API does
// that for one order, and a batch for many.
package verbs
