// Package console serves the operators' pages: what needs an operator, orders and their verbs, the stock, and everything else that a
// person would otherwise ask the API for.
//
// The console can do nothing that the API cannot. Each page calls operations of the API, in process, with the rights of the person
// who asked, so that scopes, limits, checks, logs and histories are those of the API. The package knows the generated client and the
// words of the domain; it does not know the API's handlers, the database or Temporal. cmd/quartermaster mounts it.
//
// Every page works without JavaScript. A page is a GET that changes nothing, and whose address is its whole state. A form is sent by
// POST to an address that also answers GET with the page that has the form, so that a reload, a session that has ended, and a refused
// field all lead back to a page that makes sense. The script only adds: live updates, keys, and checks while a person types.
package console
