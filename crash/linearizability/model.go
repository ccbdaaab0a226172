package main

import (
	"fmt"

	"github.com/anishathalye/porcupine"
)

// operation is what was asked of a listing.
type operation struct {
	kind  string
	order int // its number; -1: a reservation that was refused, or an edit
	units int
	name  string
	rank  int // of a deadline, in the row of all of them
}

// answer is what came back.
type answer struct {
	outcome string // ok, refused, declined or unknown
	charge  byte   // the letter of the charge, 0 for none
	sold    int    // as an edit tells it
}

// What an order can be; a letter from 'A' on: paid, by that charge.
const (
	none      = '.' // not ordered yet
	held      = 'h' // its units are nobody else's
	lapsed    = 'l' // past its deadline: its units are anybody's, late money or the buyer's cancellation may still come
	expired   = 'e' // ended by the house: only late money may still come
	cancelled = 'c' // ended by its buyer
	paid      = 'p' // by a charge nobody has told of yet
	gone      = 'g' // never made, or made for nobody who knows of it and past its deadline
)

// state is a listing: what is free for anybody, and what each order is, a letter each.
type state struct {
	available int
	sold      int
	holds     int // orders that are held
	passed    int // deadlines
	orders    string
}

func isPaid(what byte) bool { return what == paid || ('A' <= what && what <= 'Z') }

// model is one listing, told one thing at a time.
func model(of *history) porcupine.Model {
	fresh := make([]byte, len(of.units))
	for number := range fresh {
		fresh[number] = none
	}
	return porcupine.Model{
		Init: func() interface{} { return state{available: of.quantity, orders: string(fresh)} },
		Step: func(before, input, output interface{}) (bool, interface{}) {
			now, asked, told := before.(state), input.(operation), output.(answer)
			legal := of.tell(&now, asked, told)
			return legal, now
		},
		DescribeOperation: func(input, output interface{}) string {
			asked, told := input.(operation), output.(answer)
			return fmt.Sprintf("%s %s %d: %s", asked.kind, asked.name, asked.units, told.outcome)
		},
		DescribeState: func(one interface{}) string {
			now := one.(state)
			return fmt.Sprintf("%d available, %d sold, %d orders held", now.available, now.sold, now.holds)
		},
	}
}

// tell does one thing to a listing; false if it could not have been answered so.
func (h *history) tell(now *state, asked operation, told answer) bool {
	switch asked.kind {
	case "reserve":
		return h.reserve(now, asked, told)
	case "pay":
		return h.pay(now, asked, told)
	case "cancel":
		return h.cancel(now, asked, told)
	case "expire":
		return h.expire(now, asked, told)
	case "edit":
		if told.outcome == "refused" { // somebody is paying
			return now.holds > 0
		}
		return now.holds == 0 && told.sold == now.sold
	}
	panic("no such operation: " + asked.kind)
}

func (h *history) reserve(now *state, asked operation, told answer) bool {
	fits := now.available >= asked.units
	switch told.outcome {
	case "ok":
		return fits && now.orders[asked.order] == none && h.become(now, asked.order, held)
	case "refused":
		return !fits
	default: // it may have been refused
		if fits {
			return h.become(now, asked.order, held)
		}
		return h.become(now, asked.order, gone)
	}
}

func (h *history) pay(now *state, asked operation, told answer) bool {
	is := now.orders[asked.order]
	late := (is == lapsed || is == expired) && now.available >= h.units[asked.order]
	switch told.outcome {
	case "ok":
		if isPaid(is) { // told twice of one charge
			return (is == paid || is == told.charge) && h.become(now, asked.order, told.charge)
		}
		return (is == held || late) && h.become(now, asked.order, told.charge)
	case "declined":
		return is == held
	case "refused":
		return is != held && is != none
	default:
		if is == held || late {
			return h.become(now, asked.order, paid)
		}
		return true
	}
}

func (h *history) cancel(now *state, asked operation, told answer) bool {
	is := now.orders[asked.order]
	switch told.outcome {
	case "ok":
		return (is == held || is == lapsed) && h.become(now, asked.order, cancelled)
	case "refused":
		if is == lapsed {
			return h.become(now, asked.order, expired)
		}
		return is == expired || is == cancelled || isPaid(is)
	default:
		if is == held || is == lapsed {
			return h.become(now, asked.order, cancelled)
		}
		return true
	}
}

// expire is what passes with time: from the deadline on the units are anybody's.
func (h *history) expire(now *state, asked operation, _ answer) bool {
	is := now.orders[asked.order]
	if is == none {
		return false // its deadline comes after it
	}
	if asked.unknown() { // nobody can ever pay or cancel it
		return is != held || h.become(now, asked.order, gone)
	}
	if asked.rank != now.passed {
		return false
	}
	now.passed++
	return is != held || h.become(now, asked.order, lapsed)
}

// unknown tells an order whose buyer never learned its id.
func (o operation) unknown() bool { return len(o.name) > 8 && o.name[:8] == "unknown-" }

// become makes an order something else and counts its units accordingly; always true.
func (h *history) become(now *state, order int, next byte) bool {
	is, units := now.orders[order], h.units[order]
	switch {
	case is == held:
		now.holds--
		now.available += units
	case isPaid(is):
		now.sold -= units
		now.available += units
	}
	switch {
	case next == held:
		now.holds++
		now.available -= units
	case isPaid(next):
		now.sold += units
		now.available -= units
	}
	letters := []byte(now.orders)
	letters[order] = next
	now.orders = string(letters)
	return true
}
