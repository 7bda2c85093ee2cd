# The fixed texts of messages and of the unsubscribe page. $brand is the bank's name, $channel is email or sms.

# Below an e-mail.
offer-valid-until = Valid until { $date }.
email-reason = { $brand } sends you this e-mail because you are a customer and agreed to receive offers.
email-security = { $brand } never asks you for your PIN or password by e-mail.
email-unsubscribe = No more offers by e-mail

# The last line of a text message: as short as can be, in the GSM alphabet if the language allows it.
sms-opt-out = Reply STOP to opt out

# The unsubscribe page. Its e‑mail has a hyphen that does not break.
page-subscribed-title = { $channel ->
    [sms] No more offers by text message?
   *[email] No more offers by e‑mail?
}
page-subscribed-text = { $channel ->
    [sms] Press the button to stop receiving offers from { $brand } by text message. Nothing else changes.
   *[email] Press the button to stop receiving offers from { $brand } by e‑mail. Nothing else changes.
}
page-unsubscribe-button = Unsubscribe
page-opted-out-title = You are unsubscribed
page-opted-out-text = { $channel ->
    [sms] { $brand } will send you no more offers by text message. An offer that is already on its way may still arrive.
   *[email] { $brand } will send you no more offers by e‑mail. An offer that is already on its way may still arrive.
}
page-subscribe-button = Send me offers again
page-form-expired-title = Please press the button once more
page-form-expired-text = { $minutes ->
    [one] This page was open for more than { $minutes } minute.
   *[other] This page was open for more than { $minutes } minutes.
} Do you want to receive offers from { $brand } again?
page-subscribed-again-title = Welcome back
page-subscribed-again-text = { $channel ->
    [sms] You are subscribed to offers from { $brand } by text message again.
   *[email] You are subscribed to offers from { $brand } by e‑mail again.
}
page-not-found-title = This link does not work
page-not-found-text = Please open the link at the end of the message again, and make sure that it is complete.
page-unavailable-title = Please try again in a moment
page-unavailable-text = Sorry, this did not work just now. Nothing has changed.
