offer-valid-until = Gültig bis { $date }.
email-reason = { $brand } sendet Ihnen diese E-Mail, weil Sie Kundin oder Kunde sind und dem Erhalt von Angeboten zugestimmt haben.
email-security = { $brand } fragt Sie niemals per E-Mail nach Ihrer PIN oder Ihrem Passwort.
email-unsubscribe = Keine Angebote mehr per E-Mail

sms-opt-out = Abmelden: STOP antworten

page-subscribed-title = { $channel ->
    [sms] Keine Angebote mehr per SMS?
   *[email] Keine Angebote mehr per E-Mail?
}
page-subscribed-text = { $channel ->
    [sms] Klicken Sie auf „Abbestellen“, wenn Sie von { $brand } keine Angebote mehr per SMS erhalten möchten. Sonst ändert sich nichts.
   *[email] Klicken Sie auf „Abbestellen“, wenn Sie von { $brand } keine Angebote mehr per E-Mail erhalten möchten. Sonst ändert sich nichts.
}
page-unsubscribe-button = Abbestellen
page-opted-out-title = Sie sind abgemeldet
page-opted-out-text = { $channel ->
    [sms] { $brand } sendet Ihnen keine Angebote mehr per SMS. Ein Angebot, das schon unterwegs ist, kann noch ankommen.
   *[email] { $brand } sendet Ihnen keine Angebote mehr per E-Mail. Ein Angebot, das schon unterwegs ist, kann noch ankommen.
}
page-subscribe-button = Angebote wieder erhalten
page-form-expired-title = Bitte bestätigen Sie noch einmal
page-form-expired-text = { $minutes ->
    [one] Diese Seite war länger als { $minutes } Minute offen.
   *[other] Diese Seite war länger als { $minutes } Minuten offen.
} Möchten Sie wieder Angebote von { $brand } erhalten?
page-subscribed-again-title = Willkommen zurück
page-subscribed-again-text = { $channel ->
    [sms] Sie erhalten wieder Angebote von { $brand } per SMS.
   *[email] Sie erhalten wieder Angebote von { $brand } per E-Mail.
}
page-not-found-title = Dieser Link funktioniert nicht
page-not-found-text = Bitte öffnen Sie den Link am Ende der Nachricht noch einmal, und achten Sie darauf, dass er vollständig ist.
page-unavailable-title = Bitte versuchen Sie es in Kürze noch einmal
page-unavailable-text = Das hat leider nicht funktioniert. Es hat sich nichts geändert.
