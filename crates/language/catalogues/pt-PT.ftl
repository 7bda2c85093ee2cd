offer-valid-until = Oferta válida até { $date }.
email-reason = Recebe este e-mail de { $brand } porque é cliente e aceitou receber ofertas.
email-security = { $brand } nunca pede o seu PIN nem a sua palavra-passe por e-mail.
email-unsubscribe = Não receber mais ofertas por e-mail

sms-opt-out = Responda STOP para cancelar

page-subscribed-title = { $channel ->
    [sms] Não quer receber mais ofertas por SMS?
   *[email] Não quer receber mais ofertas por e-mail?
}
page-subscribed-text = { $channel ->
    [sms] Prima o botão para deixar de receber ofertas de { $brand } por SMS. Nada mais muda.
   *[email] Prima o botão para deixar de receber ofertas de { $brand } por e-mail. Nada mais muda.
}
page-unsubscribe-button = Cancelar a subscrição
page-opted-out-title = A subscrição foi cancelada
page-opted-out-text = { $channel ->
    [sms] { $brand } não lhe enviará mais ofertas por SMS. Uma oferta que já esteja a caminho ainda pode chegar.
   *[email] { $brand } não lhe enviará mais ofertas por e-mail. Uma oferta que já esteja a caminho ainda pode chegar.
}
page-subscribe-button = Voltar a receber ofertas
page-form-expired-title = Prima o botão mais uma vez
page-form-expired-text = { $minutes ->
    [one] Esta página esteve aberta mais de { $minutes } minuto.
    [many] Esta página esteve aberta mais de { $minutes } minutos.
   *[other] Esta página esteve aberta mais de { $minutes } minutos.
} Quer voltar a receber ofertas de { $brand }?
page-subscribed-again-title = Damos-lhe de novo as boas-vindas
page-subscribed-again-text = { $channel ->
    [sms] Voltará a receber ofertas de { $brand } por SMS.
   *[email] Voltará a receber ofertas de { $brand } por e-mail.
}
page-not-found-title = Esta ligação não funciona
page-not-found-text = Abra de novo a ligação no fim da mensagem e confirme que está completa.
page-unavailable-title = Tente de novo dentro de momentos
page-unavailable-text = Lamentamos, mas não foi possível concluir a operação. Nada foi alterado.
