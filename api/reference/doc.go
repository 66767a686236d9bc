// Package reference renders the API's document as a page that people read: static HTML with a style sheet, without a script and
// without anything from another host. Package api serves it at /docs.
package reference
