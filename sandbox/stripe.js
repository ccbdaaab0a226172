// A double of the part of Stripe.js that a card form uses (docs.stripe.com/js): `Stripe(key)`, `elements()`, a `payment`
// element, `confirmPayment`, `retrievePaymentIntent`. Instead of a card's number one chooses a test card; 3-D Secure asks
// in a dialog. Loaded from the sandbox as Stripe.js is from Stripe: no page of the house knows which of them it has.

(() => {
  const home = new URL(document.currentScript.src).origin;

  const CARDS = [
    ["pm_card_visa", "•••• 4242", "Visa, succeeds"],
    ["pm_card_mastercard", "•••• 4444", "Mastercard, succeeds"],
    ["pm_card_visa_chargeDeclined", "•••• 0002", "Visa, declined"],
    ["pm_card_visa_chargeDeclinedInsufficientFunds", "•••• 9995", "Visa, no money on it"],
    ["pm_card_threeDSecure2Required", "•••• 3220", "3-D Secure: the bank asks first"],
    ["pm_card_threeDSecureRequiredChargeDeclined", "•••• 1629", "3-D Secure, then declined"],
  ];

  function make(tag, properties, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  /** One request as Stripe.js makes them: a form, with the publishable key in it, so that there is no preflight. */
  async function send(method, path, parameters) {
    const form = new URLSearchParams(parameters);
    const response = method === "GET" ? await fetch(`${home}/v1${path}?${form}`) : await fetch(`${home}/v1${path}`, { method, body: form });
    return response.json();
  }

  const intentOf = (secret) => secret.split("_secret_")[0];

  class PaymentElement {
    mount(place) {
      const root = typeof place === "string" ? document.querySelector(place) : place;
      const choices = CARDS.map(([name, number, text], index) => {
        const input = make("input", { type: "radio", name: "sandbox-card", id: `sandbox-card-${index}`, value: name });
        input.checked = index === 0;
        return make("div", { class: "test-card" }, input, make("label", { for: input.id }, make("b", {}, number), ` ${text}`));
      });
      this.group = make("fieldset", { class: "test-cards" }, make("legend", {}, "Test card"), ...choices);
      root.replaceChildren(this.group);
    }

    get chosen() {
      return this.group.querySelector("input:checked").value;
    }
  }

  class Elements {
    constructor(clientSecret) {
      this.clientSecret = clientSecret;
    }

    create() {
      this.payment = new PaymentElement();
      return this.payment;
    }
  }

  /** The bank's question, as Stripe.js shows it over the page. Resolves to whether the buyer said yes. */
  function askBuyer(intent) {
    return new Promise((answered) => {
      const yes = make("button", { class: "button", type: "button" }, "Yes, it is me");
      const no = make("button", { class: "button quiet", type: "button" }, "No");
      const amount = `${intent.amount} ${intent.currency.toUpperCase()}`;
      const dialog = make("dialog", { "aria-labelledby": "bank-asks" }, make("h2", { id: "bank-asks" }, "Your bank asks: is this you?"),
        make("p", {}, `A payment of ${amount}, in minor units. No real money moves here.`), make("p", { class: "buttons" }, yes, no));
      const end = (said) => {
        dialog.close();
        dialog.remove();
        answered(said);
      };
      yes.addEventListener("click", () => end(true));
      no.addEventListener("click", () => end(false));
      dialog.addEventListener("cancel", () => end(false));
      document.body.append(dialog);
      dialog.showModal();
    });
  }

  async function authenticate(key, intent, clientSecret) {
    const outcome = (await askBuyer(intent)) ? "succeed" : "fail";
    // Its answer is for whoever has the sandbox, not for pages; what came of it the intent tells.
    await fetch(`${home}/_sandbox/payment_intents/${intent.id}/authenticate`, { method: "POST", mode: "no-cors", body: new URLSearchParams({ outcome }) });
    return send("GET", `/payment_intents/${intent.id}`, { key, client_secret: clientSecret });
  }

  window.Stripe = (key) => ({
    elements: ({ clientSecret }) => new Elements(clientSecret),

    async confirmPayment({ elements }) {
      const { clientSecret } = elements;
      const confirmed = await send("POST", `/payment_intents/${intentOf(clientSecret)}/confirm`, {
        key, client_secret: clientSecret, payment_method: elements.payment.chosen, use_stripe_sdk: "true",
      });
      if (confirmed.error) return { error: confirmed.error };
      const intent = confirmed.status === "requires_action" ? await authenticate(key, confirmed, clientSecret) : confirmed;
      if (intent.status !== "succeeded") return { error: intent.last_payment_error ?? { type: "card_error", code: "payment_intent_authentication_failure" } };
      return { paymentIntent: intent };
    },

    async retrievePaymentIntent(clientSecret) {
      const intent = await send("GET", `/payment_intents/${intentOf(clientSecret)}`, { key, client_secret: clientSecret });
      return intent.error ? { error: intent.error } : { paymentIntent: intent };
    },
  });
})();
